"""Driver of the Polatis OXC optical matrix switch (instruments.md section 5.5).

Owns the rule that nobody else's light is cut: connections are added and taken away one by one, each is
looked up with all the others afterwards, and a port that somebody else uses is refused. `only`, which drops
all other connections, is sent by `connect_only` alone. Ingress ports are 1 to N, egress ports N + 1 onwards,
as on the front panel. Sources: public drivers; never checked on a physical instrument.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import ClassVar

from bellwire.core.errors import LocalMisuse
from bellwire.drivers.addresses import stream
from bellwire.drivers.faults import DeviceError
from bellwire.drivers.instrument import Identity
from bellwire.drivers.parameters import Parameter, for_each
from bellwire.drivers.scpi_instrument import ScpiInstrument
from bellwire.drivers.session import Transport

PORT = 5025
BAUD_RATE = 38_400
SETTLE_S = 0.02
LISTED = 24
PORTS_MAX = 1152
STATE = re.compile(r"\(@([\d,:\s]*)\)\s*,\s*\(@([\d,:\s]*)\)")
SIZE = re.compile(r"(\d+)\s*,\s*(\d+)")


class Polatis(ScpiInstrument):
    """Polatis optical matrix switch over TCP (port 5025), serial line or GPIB.

    Parameters stand for ingress ports 1 to 24; the methods know all ports.
    """

    model = "OXC"
    ending = b"\r\n"
    parameters: ClassVar[tuple[Parameter, ...]] = for_each(
        range(1, LISTED + 1),
        Parameter(
            name="egress",
            meaning="egress port that ingress port {} is connected to; 0: to none, or no such port",
            kind="integer",
            read="read_egress",
            write="set_egress",
            low=0,
            high=PORTS_MAX,
            emits=True,
        ),
    )

    def _transport(self) -> Transport:
        return stream(self.name, self.address, port=PORT, baud_rate=BAUD_RATE)

    async def _identify(self) -> Identity:
        maker, product, serial_number, firmware = await self._identity_fields()
        model = self.model if "polatis" in maker.lower() else product
        return Identity(model, serial_number, f"{firmware} ({product})")

    async def _apply(self) -> None:
        wanted = {int(name.partition(".")[2]): int(value) for name, value in self._wanted.items()}
        if not wanted:
            return
        # Ports that change go dark first, so that two of them may take each other's egress.
        for ingress, egress in (await self.read_connections()).items():
            if ingress in wanted and wanted[ingress] != egress:
                await self._disconnect(ingress)
        for ingress, egress in wanted.items():
            if egress:
                await self._connect(ingress, egress)

    async def safe_state(self) -> None:
        """The connections of the configuration are taken away, and stay away over reconnects until
        `configure`.

        Connections that others made are left alone: their light is none of our business.
        """
        async with self._configuration_lock:
            for name in self._wanted:
                self._wanted[name] = 0
            await self._apply()

    # -- optical switch -------------------------------------------------------------------------------------

    async def connect_ports(self, ingress: int, egress: int) -> None:
        """Connect an ingress port to an egress port; what the ingress was connected to is let go.

        Raises LocalMisuse (no such port), DeviceError (another ingress has that egress, or the switch
        refuses).
        """
        async with self._configuration_lock:  # or a probe would judge a port that is on its way
            await self._connect(ingress, egress)
            self._remember({ingress: egress})

    async def disconnect_ports(self, ingress: int) -> None:
        """Let an ingress port go; harmless when it is free."""
        async with self._configuration_lock:
            await self._disconnect(ingress)
            self._remember({ingress: 0})

    async def connect_only(self, connections: Mapping[int, int]) -> None:
        """Make these connections and DROP ALL OTHERS, whoever made them. Raises LocalMisuse, DeviceError."""
        async with self._configuration_lock:
            await self._check_ports(connections)
            if connections:
                ports = ",".join(map(str, connections)), ",".join(map(str, connections.values()))
                await self._change(f":oxc:swit:conn:only (@{ports[0]}),(@{ports[1]})", connections)
            else:
                await self._change(":oxc:swit:disc:all", {})
            self._remember({ingress: connections.get(ingress, 0) for ingress in range(1, LISTED + 1)})

    async def read_connections(self) -> Mapping[int, int]:
        """Egress port by ingress port, of all connections."""
        return await self._connections()

    async def read_size(self) -> tuple[int, int]:
        """Numbers of ingress and egress ports."""
        reply = await self._ask(":oxc:swit:size?")
        found = SIZE.fullmatch(reply)
        if found is None:
            raise self._broken(f"size? answered {reply!r}, not INGRESS,EGRESS")
        return int(found[1]), int(found[2])

    async def read_egress(self, ingress: int) -> int:
        """The egress port of an ingress port; 0: none."""
        return (await self.read_connections()).get(ingress, 0)

    async def set_egress(self, ingress: int, egress: int) -> None:
        """As `connect_ports`, 0 as `disconnect_ports`, for whoever holds the configuration already."""
        if egress:
            await self._connect(ingress, egress)
        else:
            await self._disconnect(ingress)

    # -- lines ----------------------------------------------------------------------------------------------

    async def _connect(self, ingress: int, egress: int) -> None:
        await self._check_ports({ingress: egress})
        before = await self._connections()
        if before.get(ingress) == egress:
            return
        holder = next((other for other, port in before.items() if port == egress), None)
        if holder is not None:
            raise DeviceError(
                self.name, f"egress {egress} is connected to ingress {holder}; disconnect that first"
            )
        if ingress in before:
            await self._disconnect(ingress)
            del before[ingress]
        await self._change(f":oxc:swit:conn:add (@{ingress}),(@{egress})", {**before, ingress: egress})

    async def _disconnect(self, ingress: int) -> None:
        before = await self._connections()
        if ingress in before:
            egress = before.pop(ingress)
            await self._change(f":oxc:swit:conn:sub (@{ingress}),(@{egress})", before)

    def _remember(self, connections: Mapping[int, int]) -> None:
        """Ports of the configuration that were set otherwise are asserted as they were set last."""
        for ingress, egress in connections.items():
            if f"egress.{ingress}" in self._wanted:
                self._wanted[f"egress.{ingress}"] = egress

    async def _change(self, command: str, wanted: Mapping[int, int]) -> None:
        await self._set(command, settle_s=SETTLE_S)
        self._same("connections", dict(wanted), await self._connections())

    async def _connections(self) -> dict[int, int]:
        reply = await self._ask(":oxc:swit:conn:stat?")
        found = STATE.fullmatch(reply)
        if found is None:
            raise self._broken(f"conn:stat? answered {reply!r}, not (@INGRESS,...),(@EGRESS,...)")
        try:
            ingress, egress = _ports(found[1]), _ports(found[2])
        except ValueError:
            raise self._broken(f"conn:stat? answered {reply!r}: these are no ports") from None
        if len(ingress) != len(egress) or len(set(ingress)) != len(ingress):
            raise self._broken(f"conn:stat? answered {reply!r}: ports do not pair")
        return dict(zip(ingress, egress, strict=True))

    async def _check_ports(self, connections: Mapping[int, int]) -> None:
        inputs, outputs = await self.read_size()
        for ingress, egress in connections.items():
            if not 1 <= ingress <= inputs:
                raise LocalMisuse(f"{self.name} has ingress ports 1 to {inputs}, not {ingress}")
            if not inputs < egress <= inputs + outputs:
                raise LocalMisuse(
                    f"{self.name} has egress ports {inputs + 1} to {inputs + outputs}, not {egress}"
                )
        if len(set(connections.values())) != len(connections):
            raise LocalMisuse(f"two ingress ports want the same egress port: {dict(connections)}")


def _ports(text: str) -> list[int]:
    """1,2 or 1:3 as port numbers. Raises ValueError."""
    ports: list[int] = []
    for entry in filter(None, (entry.strip() for entry in text.split(","))):
        first, _, last = entry.partition(":")
        stop = int(last or first) + 1
        if stop > PORTS_MAX + 1:
            raise ValueError(entry)
        ports += range(int(first), stop)
    return ports
