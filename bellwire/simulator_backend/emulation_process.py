"""The emulator process of a lab: everything emulated until told to stop, with power and faults by command.

Owns the control socket of the process and its end. Refuses wiring (emulation.py) and agents: they find the
instruments where they would find real ones.
"""

import asyncio
import json
import os
import signal
import sys
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec

from bellwire.core.errors import BellwireError, ConfigError
from bellwire.core.photonics import HeraldOutcome, HeraldPhysics
from bellwire.simulator_backend.devices.bench import EmulatedBench
from bellwire.simulator_backend.devices.equipment_bench import EquipmentBench
from bellwire.simulator_backend.emulation import TruthFile
from bellwire.simulator_backend.lab_emulation import LabEmulation, LitLab

LINE_BYTES_MAX = 1 << 20
ORPHAN_GRACE_S = 5.0
EXIT_ORPHANED = 75


async def run_emulation(
    lab: LitLab, device_dir: Path, socket: Path, truth: Path | None = None, *, with_parent: bool = False
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
            emulation = LabEmulation(lab, device_dir, log)
            async with emulation:
                server = await _serve(
                    socket, emulation_commands(emulation.bench, emulation.equipment, log, ended)
                )
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


def emulation_commands(
    bench: EmulatedBench, equipment: EquipmentBench, log: TruthFile | None, ended: asyncio.Event
) -> dict[str, Command]:
    """The commands of an emulator process, by name."""

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
