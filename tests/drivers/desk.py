"""A driver and an emulated FPGA with nothing between them but messages, and time that a test passes in.

Owns the port that takes the place of the serial line. Every message can be dropped; nothing sleeps.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from bellwire.drivers import herald_fpga, serial_port
from bellwire.drivers.framed_device import FramedSettings
from bellwire.drivers.framing import REPLY_BIT, Message
from bellwire.drivers.herald_settings import HeraldSettings
from bellwire.simulator_backend.devices.endpoint import FramedEndpoint
from bellwire.simulator_backend.devices.faults import FaultSwitches
from bellwire.simulator_backend.devices.herald_clock import HeraldHardware
from bellwire.simulator_backend.devices.herald_core import HeraldCore

S = 10**9
BOOT_NS = 1_000 * S + 500_000_000
START_S = 1_002
PERIOD_NS = 1_000_000
SETTINGS = HeraldSettings(link_period_ns=PERIOD_NS)


class Desk:
    """What a test of a driver works with. `step_ns` passes with each message to the device."""

    def __init__(self, hardware: HeraldHardware | None, make: Callable[[], Any]) -> None:
        self.now_ns = BOOT_NS
        self.step_ns = 0
        self.core = HeraldCore(serial_number=5, boot_count=1, boot_ns=BOOT_NS, hardware=hardware)
        self.endpoint = FramedEndpoint(self.core, self._from_device, FaultSwitches())
        self.drops: Callable[[Message], bool] = lambda message: False
        self.sent: list[Message] = []
        self.driver = make()
        self.records: list[herald_fpga.HeraldRecord] = []
        self.bounds: list[int] = []
        self.losses: list[tuple[int, int]] = []
        self._deliver: Callable[[list[Message]], None] = lambda messages: None

    def port(self, *arguments: Any) -> Any:
        """Takes the place of SerialPort."""
        self._deliver = arguments[3]
        return _Port(self)

    def from_host(self, message: Message) -> None:
        self.now_ns += self.step_ns
        self.sent.append(message)
        if not self.drops(message):
            self.endpoint.receive([message], 0, self.now_ns)

    def _from_device(self, message: Message) -> None:
        if not self.drops(message):
            asyncio.get_running_loop().call_soon(self._deliver, [message])

    async def settle(self) -> None:
        """Until nothing is on its way any more."""
        for _ in range(20):
            await asyncio.sleep(0)

    async def tick(self) -> None:
        """A bound, and what follows from it."""
        self.endpoint.tick(self.now_ns)
        await self.settle()

    async def run(self, settings: HeraldSettings = SETTINGS, run_short: int = 7) -> None:
        """Configure and start a run; its second has come when this returns."""
        await self.driver.configure(settings)
        await self.driver.start_run(run_short, START_S)
        self.now_ns = START_S * S
        await self.tick()

    async def click(self, attempt: int, outcome: int = 1) -> None:
        """The light of a success."""
        at_ns = START_S * S + attempt * PERIOD_NS + 104
        self.now_ns = max(self.now_ns, at_ns)
        assert self.core.click(at_ns, 0, 1, self.now_ns) == outcome
        self.endpoint.pump()
        await self.settle()

    async def wait(self, attempts: float) -> None:
        """Until so many periods after the start; a bound is sent then."""
        self.now_ns = max(self.now_ns, START_S * S + int(attempts * PERIOD_NS))
        await self.tick()

    def sums(self) -> tuple[int, int, int, int]:
        """decided, succeeded, failed, unknown; the first is always the sum of the others."""
        counters = self.driver.counters
        found = (counters.decided, counters.succeeded, counters.failed, counters.unknown)
        assert found[0] == sum(found[1:])
        return found


class _Port:
    """A FramePort."""

    window = 1
    frame_errors = 0

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    async def open(self) -> None:
        """Nothing to do."""

    def send(self, message: Message) -> None:
        asyncio.get_running_loop().call_soon(self._desk.from_host, message)

    async def close(self) -> None:
        """Nothing to do."""


@asynccontextmanager
async def a_desk(
    hardware: HeraldHardware | None = None, make: Callable[[], Any] | None = None
) -> AsyncIterator[Desk]:
    """A connected driver; `make` other than None makes another one than a HeraldFpga."""
    settings = FramedSettings(reply_timeout_s=0.01, keepalive_s=60.0)

    def station() -> Any:
        return herald_fpga.HeraldFpga("station", "/desk", serial_number="5", framed=settings)

    desk = Desk(hardware, make or station)
    real = serial_port.SerialPort
    serial_port.SerialPort = desk.port  # type: ignore[assignment, misc]
    try:
        if make is None:
            desk.driver.on_record = desk.records.append
            desk.driver.on_bound = lambda run, to: desk.bounds.append(to)
            desk.driver.on_lost = lambda run, first, last, count: desk.losses.append((first, last))
        await desk.driver.connect()
        yield desk
        await desk.driver.close()
    finally:
        serial_port.SerialPort = real  # type: ignore[misc]


def is_reply(message: Message) -> bool:
    """Whether a message answers a request."""
    return bool(message.type & REPLY_BIT)
