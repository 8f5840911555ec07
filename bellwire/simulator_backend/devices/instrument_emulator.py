"""One emulated instrument: power, lines, faults, and a log of what it was asked.

Owns what stands between the lines and the device model: requests in turn, realistic delays, every fault
that acts on what passes (faults.py), power cycles with defaults restored. Refuses to know commands: that is
the device model.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial

from bellwire.simulator_backend.devices.device_model import Answer, DeviceModel
from bellwire.simulator_backend.devices.faults import OF_THE_DEVICE, Fault, FaultSwitches
from bellwire.simulator_backend.devices.lines import Client, Line
from bellwire.simulator_backend.devices.message_device import MessageLine

REQUESTS_LOGGED = 4096
REQUESTS_WAITING_MAX = 1024
TICK_S_MIN = 0.001
"""However small the pace: a device that only ticks must not take the loop for itself."""


@dataclass(frozen=True, slots=True)
class Logged:
    """One request as the device executed it, on the line of that number."""

    at_ns: int
    request: bytes
    changes: bool
    line: int = 0


class InstrumentEmulator:
    """A device model on its lines. `make_model` is called at each power-on.

    `pace` multiplies the device's delays, for tests of many cycles. `log` holds the last requests, oldest
    first.
    """

    def __init__(
        self,
        name: str,
        make_model: Callable[[], DeviceModel],
        lines: Iterable[Line],
        *,
        pace: float = 1.0,
        seed: int = 0,
        clock: Callable[[], int] = time.time_ns,
    ) -> None:
        self.name = name
        self.faults = FaultSwitches(seed)
        self.log: deque[Logged] = deque(maxlen=REQUESTS_LOGGED)
        self.lines = tuple(lines)
        self.model: DeviceModel | None = None
        self._make_model = make_model
        self._pace = pace
        self._clock = clock
        self._now_ns = 0
        self._afflicted: set[Fault] = set()
        self._waiting: deque[tuple[int, Client, bytes]] = deque()
        self._arrived = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._reopening: asyncio.Task[None] | None = None
        for number, line in enumerate(self.lines):
            line.on_client = partial(self._greet, number)
            line.on_octets = partial(self._receive, number)
            if isinstance(line, MessageLine):
                line.attend(partial(self._face, number), self._now)

    # -- power and faults -----------------------------------------------------------------------------------

    async def start(self) -> None:
        """Power on with defaults; harmless when on."""
        if self.model is not None:
            return
        self._power_up()
        if not self.faults.is_on(Fault.REFUSED):
            for line in self.lines:
                await line.open()
        loop = asyncio.get_running_loop()
        self._tasks = [loop.create_task(self._work())]
        self._tasks += [loop.create_task(self._tick(number)) for number in range(len(self.lines))]

    async def stop(self) -> None:
        """Power off: connections reset, settings gone; harmless when off."""
        if self.model is not None:
            self.model.power_off(self._now())
        self.model = None
        tasks, self._tasks = self._tasks, []
        if self._reopening is not None:
            tasks.append(self._reopening)
            self._reopening = None
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._waiting.clear()
        for line in self.lines:
            await line.close()

    async def power_cycle(self, off_s: float = 0.0) -> None:
        """Off, wait, on again with defaults restored."""
        await self.stop()
        await asyncio.sleep(off_s)
        await self.start()

    def set_fault(
        self, fault: Fault, *, rate: float = 1.0, delay_s: float = 0.0, times: int | None = None
    ) -> None:
        """Switch a fault on; REFUSED closes the lines until it is cleared.

        Raises LocalMisuse when the device has no such thing as that fault.
        """
        if fault in OF_THE_DEVICE and self.model is not None:
            self.model.afflict(fault, True, self._now())
        if fault in OF_THE_DEVICE:
            self._afflicted.add(fault)
        self.faults.set(fault, rate=rate, delay_s=delay_s, times=times)
        if fault is Fault.REFUSED and self.model is not None:
            self._reopen(refuse=True)

    def clear_fault(self, fault: Fault | None = None) -> None:
        """Switch one fault, or all, off."""
        self.faults.clear(fault)
        for one in [one for one in self._afflicted if fault in (None, one)]:
            self._afflicted.discard(one)
            if self.model is not None:
                self.model.afflict(one, False, self._now())
        if self.model is not None and fault in (None, Fault.REFUSED, Fault.FIN, Fault.RST):
            self._reopen(refuse=False)

    def _reopen(self, *, refuse: bool) -> None:
        before = self._reopening

        async def work() -> None:
            if before is not None:
                await asyncio.gather(before, return_exceptions=True)
            for line in self.lines:
                await (line.close() if refuse else line.open())

        self._reopening = asyncio.get_running_loop().create_task(work())

    def _power_up(self) -> None:
        if self.model is not None:
            self.model.power_off(self._now())
        self.model = self._make_model()
        self.model.power_on(self._now())
        for fault in self._afflicted:
            self.model.afflict(fault, True, self._now())

    # -- requests -------------------------------------------------------------------------------------------

    def _now(self) -> int:
        self._now_ns = max(self._now_ns, self._clock())
        return self._now_ns

    def _face(self, number: int) -> DeviceModel | None:
        return None if self.model is None else self.model.face(number)

    def _greet(self, number: int, client: Client) -> None:
        if self.model is not None and not self.faults.is_on(Fault.SILENT):
            greeting = self.model.face(number).greeting(self._now())
            if greeting:
                client.send(greeting)

    def _receive(self, number: int, client: Client, octets: bytes) -> None:
        if self.model is None:
            return
        client.buffer += octets
        for request in self.model.face(number).split(client.buffer):
            if len(self._waiting) >= REQUESTS_WAITING_MAX:
                break  # the input buffer of a device is finite
            self._waiting.append((number, client, request))
        self._arrived.set()

    async def _work(self) -> None:
        while True:
            await self._arrived.wait()
            self._arrived.clear()
            while self._waiting:
                number, client, request = self._waiting.popleft()
                await self._carry_out(number, client, request)
                client.carried_out()

    async def _carry_out(self, number: int, client: Client, request: bytes) -> None:
        faults = self.faults
        if faults.strikes(Fault.RST):
            self._hang_up(client, reset=True)
            return
        if faults.strikes(Fault.FIN):
            self._hang_up(client, reset=False)
            return
        if faults.strikes(Fault.RESTART):
            self._power_up()
        if faults.strikes(Fault.HANG):
            await asyncio.sleep(faults.delay_s(Fault.HANG))
        if faults.strikes(Fault.LOST_FRAME):
            return
        assert self.model is not None
        model = self.model.face(number)
        changes = model.changes(request)
        self.log.append(Logged(self._now(), request, changes, number))
        if changes and faults.strikes(Fault.IGNORED_SET):
            answers = model.acknowledges(request)
        else:
            answers = model.execute(request, self._now())
        for answer in answers:
            if answer.after_s > 0:
                await asyncio.sleep(answer.after_s * self._pace)
            await self._send(model, client, answer)

    def _hang_up(self, client: Client, *, reset: bool) -> None:
        client.hang_up(reset=reset)
        self._reopen(refuse=False)  # a serial line that hung up comes back

    async def _send(self, model: DeviceModel, client: Client, answer: Answer) -> None:
        faults = self.faults
        octets = answer.octets
        if not octets or faults.strikes(Fault.SILENT):
            return
        if answer.solicited:
            if faults.strikes(Fault.UNSOLICITED):
                client.send_unasked(model.unasked(self._now()))
            if faults.strikes(Fault.GARBAGE):
                octets = bytes((0x20 + (7 * k + octet) % 0x5F) for k, octet in enumerate(octets))
            if faults.strikes(Fault.BAD_CRC):
                octets = model.damaged(octets)
            if faults.strikes(Fault.DROPPED_BYTE):
                octets = octets[: len(octets) // 2] + octets[len(octets) // 2 + 1 :]
            if faults.strikes(Fault.HALF_REPLY):
                octets = octets[: max(1, len(octets) // 2)]
            twice = faults.strikes(Fault.DOUBLE_REPLY)
            if faults.strikes(Fault.LATE_REPLY):
                await asyncio.sleep(faults.delay_s(Fault.LATE_REPLY))
            if twice:
                client.send_twice(octets)
                return
        client.send(octets)

    async def _tick(self, number: int) -> None:
        while self.model is not None and (tick_s := self.model.face(number).tick_s) is not None:
            await asyncio.sleep(max(tick_s * self._pace, TICK_S_MIN))
            model = self.model.face(number)
            for answer in model.tick(self._now()):
                for client in self.lines[number].clients:
                    await self._send(model, client, answer)
