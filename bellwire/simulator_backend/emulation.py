"""The emulator process of a lab: all its emulated instruments around one World, with power and faults by
command.

Owns the wiring from a lab to `EmulatedBench`, the World's truth log, and the control socket of the process.
Refuses to know agents: they find the instruments where they would find real ones.
"""

import asyncio
import json
import os
import re
import signal
import sys
import threading
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any, Literal, Protocol

import msgspec

from bellwire.core.errors import BellwireError, ConfigError
from bellwire.core.ids import NodeId
from bellwire.core.photonics import HeraldOutcome, HeraldPhysics
from bellwire.core.settings import NetworkSettings
from bellwire.simulator_backend import clusters as clusters  # loading it within the first gate would be late
from bellwire.simulator_backend.devices.bench import EmulatedBench, NodeWiring, StationWiring, TriggerWiring
from bellwire.simulator_backend.devices.equipment_bench import EquipmentBench, EquipmentEntry
from bellwire.simulator_backend.devices.operation_durations import OperationDurations
from bellwire.simulator_backend.world import LinkTruth, MemoryTruth, World
from bellwire.simulator_backend.world_fusions import GroupTruth
from bellwire.simulator_backend.world_words import PairTruth

EMULATED_DRIVERS = {"memory": "memory_controller", "herald": "herald_fpga", "timing": "srs_dg645"}
LINE_BYTES_MAX = 1 << 20
ORPHAN_GRACE_S = 5.0
EXIT_ORPHANED = 75


class InstrumentEntry(Protocol):
    """One instrument of a lab file."""

    @property
    def owner(self) -> NodeId: ...

    @property
    def role(self) -> Literal["memory", "herald", "timing"]: ...

    @property
    def driver(self) -> str: ...

    @property
    def address(self) -> str: ...

    @property
    def serial_number(self) -> str | None: ...

    @property
    def emulated(self) -> bool: ...


class EmulatedLab(Protocol):
    """A lab whose instruments are played."""

    @property
    def path(self) -> str | None: ...

    @property
    def seed(self) -> int: ...

    @property
    def network(self) -> NetworkSettings: ...

    @property
    def instruments(self) -> Sequence[InstrumentEntry]: ...

    @property
    def equipment(self) -> Sequence[EquipmentEntry]: ...

    def world(self) -> tuple[list[LinkTruth], list[MemoryTruth]]:
        """The hidden truth."""
        ...


def wire(lab: EmulatedLab, device_dir: Path, log: "TruthFile | None" = None) -> EmulatedBench:
    """The bench of a lab's emulated instruments; the World is drawn from the lab's seed.

    Raises:
        ConfigError: an entry that no emulator can play.
    """
    links, memories = lab.world()
    slots = {memory.node: memory.slots for memory in memories}
    nodes: list[NodeWiring] = []
    stations: list[StationWiring] = []
    triggers: list[TriggerWiring] = []
    for entry in lab.instruments:
        if not entry.emulated:
            continue
        if EMULATED_DRIVERS[entry.role] != entry.driver:
            problem = f'nothing emulates "{entry.driver}" as {entry.role}'
            raise ConfigError(problem, where=f"{lab.path} ({entry.owner})")
        own_links = lab.network.nodes[entry.owner].links
        if entry.role == "memory":
            nodes.append(
                NodeWiring(
                    node=entry.owner,
                    path=_line(entry, device_dir),
                    slots=slots[entry.owner],
                    ports=dict(enumerate(own_links)),
                    serial_number=_number(entry),
                    durations=_durations(lab.network, entry.owner),
                )
            )
        elif entry.role == "herald":
            (link,) = own_links
            stations.append(
                StationWiring(
                    station=entry.owner,
                    link=link,
                    nodes=lab.network.links[link].nodes,
                    path=_line(entry, device_dir),
                    serial_number=_number(entry),
                    architecture=lab.network.links[link].architecture,
                )
            )
        else:
            triggers.append(_trigger(entry))
    device_dir.mkdir(parents=True, exist_ok=True)
    world = World(links, memories, lab.seed)
    truth_log = None if log is None else log.put
    return EmulatedBench(world, stations=stations, nodes=nodes, triggers=triggers, truth_log=truth_log)


def _durations(network: NetworkSettings, node: NodeId) -> OperationDurations:
    # The Bell measurement is as long as the lab says and plans with; nothing is said about the rest.
    memory = network.nodes[node].memory
    return OperationDurations() if memory is None else OperationDurations(bell_ns=memory.bsm_duration_ns)


def _line(entry: InstrumentEntry, device_dir: Path) -> Path:
    if not entry.address.startswith("pty:"):
        problem = f'an emulated serial device has the address pty:NAME, not "{entry.address}"'
        raise ConfigError(problem, where=entry.owner)
    return device_dir / entry.address.removeprefix("pty:")


def _number(entry: InstrumentEntry) -> int:
    try:
        return 1 if entry.serial_number is None else int(entry.serial_number)
    except ValueError:
        raise ConfigError(
            f'serial number "{entry.serial_number}" is not a number', where=entry.owner
        ) from None


def _trigger(entry: InstrumentEntry) -> TriggerWiring:
    place = re.fullmatch(r"TCPIP\d*::127\.0\.0\.1::(\d+)::SOCKET", entry.address, re.IGNORECASE)
    if place is None:
        raise ConfigError(f'"{entry.address}" is not TCPIP::127.0.0.1::PORT::SOCKET', where=entry.owner)
    name = f"{entry.owner}-timing"
    if entry.serial_number is None:
        return TriggerWiring(name=name, port=int(place[1]))
    return TriggerWiring(name=name, port=int(place[1]), serial_number=entry.serial_number.removeprefix("s/n"))


class TruthFile:
    """The World's truth of every qubit that was released, measured or corrected, one JSON line each."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("ab")

    def put(
        self,
        node: str,
        slot: int,
        operation: str,
        at_ns: int,
        truth: PairTruth | GroupTruth | None,
        tag: int,
    ) -> None:
        """One line; `truth` is null for what is no half of a pair, and three or more entangled qubits are a
        `group`."""
        line: dict[str, Any] = {
            "node": node,
            "slot": slot,
            "operation": operation,
            "at_ns": at_ns,
            "tag": tag,
        }
        known = truth._asdict() if isinstance(truth, PairTruth) else None
        if truth is not None and not isinstance(truth, PairTruth):
            line["group"] = {
                "ends": truth.ends,
                "ghz_fidelity": truth.ghz_fidelity(),
                "frame_zero": truth.has_frame_zero(),
            }
            if tag:  # a delivery: which graph it was to be, only the reader knows
                line["group"] |= {"nodes": truth.nodes, "density": truth.density_parts()}
        self._file.write(msgspec.json.encode(line | {"truth": known}) + b"\n")

    def flush(self) -> None:
        """Hand everything to the file system."""
        self._file.flush()

    def close(self) -> None:
        """End the file."""
        self._file.close()


async def run_emulation(
    lab: EmulatedLab, device_dir: Path, socket: Path, truth: Path | None = None, *, with_parent: bool = False
) -> None:
    """Play the lab's emulated instruments until told to stop by signal, command or the end of stdin.

    Commands on the socket, one JSON object a line: status; power_cycle(device, off_s); power_off(device);
    power_on(device); set_fault(device, fault, rate, delay_s, times); clear_fault(device, fault);
    change_link(link, success_probability, outcomes, points), what is not given stays; stop.
    """
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ended.set)
    if with_parent:
        _watch_parent(loop, ended)
    log = None if truth is None else TruthFile(truth)
    try:
        try:
            bench = wire(lab, device_dir, log)
            equipment = EquipmentBench(lab.equipment, device_dir, seed=lab.seed)
            async with bench, equipment:
                server = await _serve(socket, _commands(bench, equipment, log, ended))
                try:
                    await ended.wait()
                finally:
                    server.close()
                    _clear(socket)
        except OSError as problem:
            raise ConfigError(f"an emulated instrument cannot start: {problem}", where=lab.path) from problem
    finally:
        if log is not None:
            log.close()


Command = Callable[[dict[str, Any]], Awaitable[Any]]


def _commands(
    bench: EmulatedBench, equipment: EquipmentBench, log: TruthFile | None, ended: asyncio.Event
) -> dict[str, Command]:
    def place(device: object) -> EmulatedBench | EquipmentBench:
        return equipment if device in equipment.emulators else bench

    async def status(_: dict[str, Any]) -> dict[str, Any]:
        if log is not None:
            log.flush()
        devices = [*bench.nodes, *bench.stations, *bench.triggers, *equipment.emulators]
        return {"ready": True, "devices": devices}

    async def power_cycle(fields: dict[str, Any]) -> None:
        await place(fields["device"]).power_cycle(str(fields["device"]), float(fields.get("off_s", 0.5)))

    async def power_off(fields: dict[str, Any]) -> None:
        await place(fields["device"]).stop(str(fields["device"]))

    async def power_on(fields: dict[str, Any]) -> None:
        await place(fields["device"]).start(str(fields["device"]))

    async def set_fault(fields: dict[str, Any]) -> None:
        times = fields.get("times")
        place(fields["device"]).set_fault(
            str(fields["device"]),
            str(fields["fault"]),
            rate=float(fields.get("rate", 1.0)),
            delay_s=float(fields.get("delay_s", 0.0)),
            times=None if times is None else int(times),
        )

    async def clear_fault(fields: dict[str, Any]) -> None:
        fault = fields.get("fault")
        place(fields["device"]).clear_fault(str(fields["device"]), None if fault is None else str(fault))

    async def change_link(fields: dict[str, Any]) -> None:
        success = fields.get("success_probability")
        outcomes, points = fields.get("outcomes"), fields.get("points")
        bench.change_link(
            str(fields["link"]),
            success_probability=None if success is None else float(success),
            outcomes=None if outcomes is None else msgspec.convert(outcomes, tuple[HeraldOutcome, ...]),
            points=None if points is None else msgspec.convert(points, tuple[HeraldPhysics, ...]),
        )

    async def stop(_: dict[str, Any]) -> None:
        ended.set()

    return {
        "status": status,
        "power_cycle": power_cycle,
        "power_off": power_off,
        "power_on": power_on,
        "set_fault": set_fault,
        "clear_fault": clear_fault,
        "change_link": change_link,
        "stop": stop,
    }


async def _serve(path: Path, commands: dict[str, Command]) -> asyncio.Server:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while line := await reader.readline():
                reply: dict[str, Any]
                try:
                    request = json.loads(line)
                    reply = {"ok": True, "result": await commands[request["do"]](request)}
                except (BellwireError, KeyError, TypeError, ValueError) as problem:
                    reply = {"ok": False, "error": f"{type(problem).__name__}: {problem}"}
                writer.write(json.dumps(reply).encode() + b"\n")
                await writer.drain()
        except ConnectionError:
            return  # the client went away
        finally:
            writer.close()

    _clear(path)
    before = os.umask(0o177)
    try:
        return await asyncio.start_unix_server(answer, str(path), limit=LINE_BYTES_MAX)
    finally:
        os.umask(before)


def _clear(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    path.unlink(missing_ok=True)


def _watch_parent(loop: asyncio.AbstractEventLoop, ended: asyncio.Event) -> None:
    # The supervisor holds the other end of stdin; it closes when the supervisor ends, however it ends.
    def wait() -> None:
        descriptor = sys.stdin.fileno()
        while os.read(descriptor, 256):
            pass
        if not loop.is_closed():
            loop.call_soon_threadsafe(ended.set)
            threading.Event().wait(ORPHAN_GRACE_S)
            os._exit(EXIT_ORPHANED)

    threading.Thread(target=wait, name="parent-watch", daemon=True).start()
