"""An emulated device with the framed protocol: a core that loses its memory without power, an endpoint, a
line.

Owns power: on, off, restart, and the 20 Hz sign of life. Refuses to know which device it is; the core does.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Generic, TypeVar

from bellwire.drivers.framing import Message
from bellwire.simulator_backend.devices.endpoint import DeviceCore, FramedEndpoint
from bellwire.simulator_backend.devices.etherbone_line import EtherboneLine
from bellwire.simulator_backend.devices.faults import OF_THE_DEVICE, Fault, FaultSwitches
from bellwire.simulator_backend.devices.frame_line import FrameLine
from bellwire.simulator_backend.devices.pty_line import PtyLine
from bellwire.simulator_backend.devices.udp_line import UdpLine

BOUND_PERIOD_S = 0.05

Core = TypeVar("Core", bound=DeviceCore)


class FramedEmulator(Generic[Core]):
    """One device. `place`: path of its serial line, or its UDP port on 127.0.0.1 (0: any free one, see
    `line`). `make_core(boot_count, now_ns)` builds a core without memory; `power_lost(core)` is told of its
    end. `clock()` gives the time in ns and lets everything that is due happen first.

    `etherbone_port`: its registers on Etherbone beside that line, see `etherbone`; None = not.
    """

    def __init__(
        self,
        place: Path | int,
        make_core: Callable[[int, int], Core],
        power_lost: Callable[[Core], None],
        clock: Callable[[], int],
        etherbone_port: int | None = None,
    ) -> None:
        self.faults = FaultSwitches()
        self.core: Core | None = None
        self.endpoint: FramedEndpoint | None = None
        self._make_core = make_core
        self._power_lost = power_lost
        self._clock = clock
        self.line: FrameLine = (
            UdpLine(place, self._receive, self.faults)
            if isinstance(place, int)
            else PtyLine(place, self._receive, self.faults)
        )
        self.etherbone = (
            None
            if etherbone_port is None
            else EtherboneLine(etherbone_port, lambda: self.core, clock, self.faults)
        )
        # The one thing that survives without power. It begins with the seconds of the clock, so that a
        # restarted emulator process never repeats a count: a driver must notice that all is forgotten.
        self._boot_count = clock() // 1_000_000_000 & 0x7FFF_FFFF
        self._afflicted: set[Fault] = set()
        self._hung: list[tuple[list[Message], int]] = []
        self._ticker: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Power on; harmless when on."""
        if self.core is not None:
            return
        self._boot()
        self.line.open()
        if self.etherbone is not None:
            self.etherbone.open()
        self._tick()

    def stop(self) -> None:
        """Power off: the line hangs up, configuration and volatile state are gone; harmless when off."""
        self.line.close()
        if self.etherbone is not None:
            self.etherbone.close()
        if self._ticker is not None:
            self._ticker.cancel()
        self.endpoint = None
        self._lose_power()

    def set_fault(
        self, fault: Fault, *, rate: float = 1.0, delay_s: float = 0.0, times: int | None = None
    ) -> None:
        """Switch a fault on.

        REFUSED removes the line until `clear_fault`; FIN, RST, RESTART and HANG strike at a request; faults
        of the device last over a power cycle, because they are around it. Raises LocalMisuse when the device
        has no such thing.
        """
        if fault in OF_THE_DEVICE and self.core is not None:
            self.core.afflict(fault, True, self._clock())
        if fault in OF_THE_DEVICE:
            self._afflicted.add(fault)
        self.faults.set(fault, rate=rate, delay_s=delay_s, times=times)
        if fault is Fault.REFUSED:
            self.line.close()

    def clear_fault(self, fault: Fault | None = None) -> None:
        """Switch one fault, or all, off."""
        self.faults.clear(fault)
        for one in [one for one in self._afflicted if fault in (None, one)]:
            self._afflicted.discard(one)
            if self.core is not None:
                self.core.afflict(one, False, self._clock())
        if fault in (None, Fault.REFUSED) and self.core is not None:
            self.line.open()

    def _lose_power(self) -> None:
        core, self.core = self.core, None
        if core is not None:
            self._boot_count = max(self._boot_count, core.boot_count)  # soft resets count as starts as well
            self._power_lost(core)

    def _boot(self) -> None:
        self._boot_count += 1
        self.core = self._make_core(self._boot_count, self._clock())
        for fault in self._afflicted:
            self.core.afflict(fault, True, self._clock())
        self.endpoint = FramedEndpoint(self.core, self.line.send, self.faults)

    def _receive(self, messages: list[Message], damaged: int) -> None:
        if self.faults.strikes(Fault.HANG):
            self._hung.append((messages, damaged))
            if len(self._hung) == 1:
                delay_s = self.faults.delay_s(Fault.HANG)
                asyncio.get_running_loop().call_later(delay_s, self._go_on)
            return
        if self.faults.strikes(Fault.FIN) or self.faults.strikes(Fault.RST):
            self.line.close()
            self.line.open()
            return
        if self.faults.strikes(Fault.RESTART):
            self._lose_power()
            self._boot()
        if self.endpoint is not None:
            self.endpoint.receive(messages, damaged, self._clock())

    def _go_on(self) -> None:
        """The device has come back to its senses: what waited is answered now."""
        waited, self._hung = self._hung, []
        for messages, damaged in waited:
            if self.endpoint is not None:
                self.endpoint.receive(messages, damaged, self._clock())

    def _tick(self) -> None:
        if self.endpoint is not None:
            self.endpoint.tick(self._clock())
            self._ticker = asyncio.get_running_loop().call_later(BOUND_PERIOD_S, self._tick)
