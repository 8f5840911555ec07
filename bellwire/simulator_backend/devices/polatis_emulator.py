"""Emulated Polatis OXC: a 24 x 24 matrix switch on the SCPI engine (instruments.md section 5.5).

Owns connections, the 20 ms that mirrors take, and the boot mode (DARK, RESTore, AUTosave) that decides what
is connected after power came back. A connection of ingress i is the knob `route.<i>` of the World: the number
of its output, counted from 1, or 0 for dark.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import ClassVar

from bellwire.simulator_backend.devices.device_model import Answer
from bellwire.simulator_backend.devices.emulators import EmulatorOrder
from bellwire.simulator_backend.devices.instrument_emulator import InstrumentEmulator
from bellwire.simulator_backend.devices.scpi_core import ScpiDevice
from bellwire.simulator_backend.devices.scpi_errors import ScpiError
from bellwire.simulator_backend.devices.scpi_parameters import Channels, Choice, Parameter, Whole
from bellwire.simulator_backend.devices.scpi_syntax import Element, ExpressionElement
from bellwire.simulator_backend.devices.scpi_tree import Command
from bellwire.simulator_backend.devices.surroundings import Wiring

PORT = 5025
SERIAL_NUMBER = "002414"
FIRMWARE = "6.5.2.18"
PORTS = 24
SWITCHING_NS = 20_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class PortList(Channels):
    """A list of ports, which may be empty: (@)."""

    def value(self, element: Element, device: object) -> tuple[int, ...]:
        if isinstance(element, ExpressionElement) and re.fullmatch(r"\s*@\s*", element.text):
            return ()
        return Channels.value(self, element, device)


_BOTH: tuple[Parameter, ...] = (
    PortList(first=1, last=PORTS),
    PortList(first=PORTS + 1, last=2 * PORTS),
)


@dataclass(slots=True)
class SwitchMemory:
    """What the switch keeps without power."""

    boot_mode: str = "DARK"
    connections: dict[int, int] = field(default_factory=dict[int, int])


class PolatisModel(ScpiDevice):
    """One powered switch with as many ingress as egress ports."""

    commands: ClassVar[tuple[Command, ...]] = (
        Command("OXC:SWITch:CONNect:ADD", "add", _BOTH),
        Command("OXC:SWITch:CONNect:ONLY", "only", _BOTH),
        Command("OXC:SWITch:CONNect:SUB", "take_away", _BOTH),
        Command("OXC:SWITch:CONNect:STATe?", "read_state"),
        Command("OXC:SWITch:CONNect:PORT?", "read_port", (Whole(minimum=1, maximum=2 * PORTS),)),
        Command("OXC:SWITch:DISConnect:ALL", "reset"),
        Command("OXC:SWITch:SIZE?", "read_size"),
        Command("OXC:BOOT:MODE", "set_boot_mode", (Choice(words=("DARK", "RESTore", "AUTosave")),)),
        Command("OXC:BOOT:MODE?", "read_boot_mode"),
    )

    def __init__(
        self, wiring: Wiring, memory: SwitchMemory | None = None, serial_number: str = SERIAL_NUMBER
    ) -> None:
        super().__init__()
        self.identity = f"Polatis,I-OST-{PORTS}x{PORTS}-LU1-DMHNS,{serial_number},{FIRMWARE}"
        self.connections: dict[int, int] = {}
        self._wiring = wiring
        self._memory = memory or SwitchMemory()
        if self._memory.boot_mode != "DARK":
            self.connections = dict(self._memory.connections)

    def power_on(self, now_ns: int) -> None:
        self.now_ns = now_ns
        for ingress in range(1, PORTS + 1):
            self._turn(ingress)

    def power_off(self, now_ns: int) -> None:
        if self._memory.boot_mode == "AUT":
            self._memory.connections = dict(self.connections)
        self.now_ns = now_ns
        self.connections = {}  # the mirrors fall back
        for ingress in range(1, PORTS + 1):
            self._turn(ingress)

    def execute(self, request: bytes, now_ns: int) -> list[Answer]:
        """As every SCPI device, but lines end with CR LF."""
        return [
            Answer(answer.octets.removesuffix(b"\n") + b"\r\n" * bool(answer.octets), answer.after_s)
            for answer in super().execute(request, now_ns)
        ]

    def unasked(self, now_ns: int) -> bytes:
        return b'0,"No error"\r\n'

    def reset(self) -> None:
        self._become({})

    # -- commands -------------------------------------------------------------------------------------------

    def add(self, ingress: tuple[int, ...], egress: tuple[int, ...]) -> None:
        """Connect pairs; ports that are in use are taken from their old partners."""
        self._become(self._with(self.connections, ingress, egress))

    def only(self, ingress: tuple[int, ...], egress: tuple[int, ...]) -> None:
        """Connect pairs and drop all other connections."""
        self._become(self._with({}, ingress, egress))

    def take_away(self, ingress: tuple[int, ...], egress: tuple[int, ...]) -> None:
        """Drop pairs; with one empty list, whatever the ports of the other are connected to."""
        if ingress and egress and len(ingress) != len(egress):
            raise ScpiError(-226)
        gone = set(zip(ingress, egress, strict=False)) if ingress and egress else set[tuple[int, int]]()
        self._become(
            {
                one: other
                for one, other in self.connections.items()
                if (one, other) not in gone
                and not (not egress and one in ingress)
                and not (not ingress and other in egress)
            }
        )

    def read_state(self) -> str:
        """All connections, as two lists."""
        rows = sorted(self.connections.items())
        return "(@{}),(@{})".format(*(",".join(str(row[side]) for row in rows) for side in (0, 1)))

    def read_port(self, port: int) -> str:
        """The partner of a port, quoted; empty when it is free."""
        partners = {**self.connections, **{other: one for one, other in self.connections.items()}}
        return f'"{partners.get(port, "")}"'

    def read_size(self) -> tuple[int, int]:
        """Ingress and egress ports."""
        return PORTS, PORTS

    def set_boot_mode(self, mode: str) -> None:
        """What is connected after power comes back: nothing, what RESTore was told with, or the last."""
        self._memory.boot_mode = mode
        if mode == "REST":
            self._memory.connections = dict(self.connections)

    def read_boot_mode(self) -> str:
        """The boot mode, by its short name."""
        return self._memory.boot_mode

    # -- inside ---------------------------------------------------------------------------------------------

    @staticmethod
    def _with(before: dict[int, int], ingress: tuple[int, ...], egress: tuple[int, ...]) -> dict[int, int]:
        if len(ingress) != len(egress):
            raise ScpiError(-226)
        if len(set(ingress)) != len(ingress) or len(set(egress)) != len(egress):
            raise ScpiError(-224, "a port twice")
        kept = {one: other for one, other in before.items() if one not in ingress and other not in egress}
        return kept | dict(zip(ingress, egress, strict=True))

    def _become(self, connections: dict[int, int]) -> None:
        changed = {one for one, _ in self.connections.items() ^ connections.items()}
        self.connections = connections
        if changed:
            self.busy_until_ns = self.now_ns + SWITCHING_NS
        for ingress in changed:
            self._turn(ingress)

    def _turn(self, ingress: int) -> None:
        word = f"route.{ingress}"
        if not self._wiring.names or word in self._wiring.names:
            egress = self.connections.get(ingress)
            self._wiring.turn(word, 0.0 if egress is None else float(egress - PORTS), self.now_ns)


def make(order: EmulatorOrder) -> InstrumentEmulator:
    """A switch on TCP, VXI-11, HiSLIP or a serial line, whatever the address says."""
    memory = SwitchMemory()
    return InstrumentEmulator(
        order.name,
        lambda: PolatisModel(order.wiring, memory, order.serial_number or SERIAL_NUMBER),
        [order.messages(PORT)],
        pace=order.pace,
        seed=order.seed,
    )
