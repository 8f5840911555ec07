"""Small instruments for tests of the base of emulators, and a plain TCP client that calls them."""

from __future__ import annotations

import asyncio

from bellwire.core.errors import LocalMisuse
from bellwire.simulator_backend.devices.device_model import Answer, DeviceModel, LineModel
from bellwire.simulator_backend.devices.faults import Fault
from bellwire.simulator_backend.devices.instrument_emulator import InstrumentEmulator
from bellwire.simulator_backend.devices.lines import TcpLine

SHORT_S = 0.08
LONG_S = 5.0


class Lamp(LineModel):
    """A lamp: `level?`, `level N` (silent), `slow?` after half a second, `ok N` acknowledged."""

    def __init__(self) -> None:
        self.level = 3
        self.hot = False
        self.overlong_lines = 0
        self.powered: list[bool] = []

    def power_on(self, now_ns: int) -> None:
        self.powered.append(True)

    def power_off(self, now_ns: int) -> None:
        self.powered.append(False)

    def delay_s(self, request: bytes) -> float:
        return 0.5 if request == b"slow?" else 0.0

    def reply(self, line: str, now_ns: int) -> str | None:
        word, _, value = line.partition(" ")
        if word in ("level", "ok") and value:
            self.level = int(value)
            return "done" if word == "ok" else None
        return "hot" if self.hot else f"level is {self.level}"

    def acknowledges(self, request: bytes) -> list[Answer]:
        return [Answer(b"done\r\n")] if request.startswith(b"ok") else []

    def unasked(self, now_ns: int) -> bytes:
        return b"ding\r\n"

    def overlong(self) -> None:
        self.overlong_lines += 1

    def afflict(self, fault: Fault, on: bool, now_ns: int) -> None:
        if fault is not Fault.DRIFT:
            raise LocalMisuse(f"a lamp has no {fault.value}")
        self.hot = on


class TwoFaced(Lamp):
    """A lamp whose second port tells its level every 10 ms, greets, and knows nothing else."""

    def __init__(self) -> None:
        super().__init__()
        self._second = _Teller(self)

    def face(self, line: int) -> DeviceModel:
        return self if line == 0 else self._second


class _Teller(LineModel):
    tick_s = 0.01

    def __init__(self, lamp: Lamp) -> None:
        self._lamp = lamp

    def greeting(self, now_ns: int) -> bytes:
        return b"lamp at your service\r\n"

    def reply(self, line: str, now_ns: int) -> str | None:
        return "what?"

    def tick(self, now_ns: int) -> list[Answer]:
        return [Answer(b"%d\r\n" % self._lamp.level, solicited=False)]


class Caller:
    """A plain TCP client."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    def say(self, octets: bytes) -> None:
        self.writer.write(octets)

    async def line(self) -> bytes:
        return await asyncio.wait_for(self.reader.readuntil(b"\r\n"), LONG_S)

    async def whatever_comes(self) -> bytes:
        """What arrives within a short time; raises ConnectionError after a reset."""
        heard = b""
        try:
            while octets := await asyncio.wait_for(self.reader.read(1000), SHORT_S):
                heard += octets
        except TimeoutError:
            pass
        return heard

    async def ask(self, request: bytes = b"level?") -> bytes:
        self.say(request + b"\r\n")
        return await self.line()


async def call(emulator: InstrumentEmulator, line: int = 0) -> Caller:
    place = emulator.lines[line]
    assert isinstance(place, TcpLine)
    return Caller(*await asyncio.open_connection(place.host, place.port))


async def call_again(emulator: InstrumentEmulator) -> Caller:
    """Call until the port is there; an AssertionError when it does not come back."""
    for _ in range(100):
        try:
            return await call(emulator)
        except ConnectionRefusedError:
            await asyncio.sleep(0.01)
    raise AssertionError("the port stays refused")
