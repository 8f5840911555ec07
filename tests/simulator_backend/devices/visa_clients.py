"""pyvisa-py, a client of another project, in a thread beside the emulators of a test."""

from __future__ import annotations

import asyncio
import contextlib
import functools
from collections.abc import AsyncIterator, Callable, Iterator
from typing import TypeVar

import pyvisa
from pyvisa.constants import StatusCode
from pyvisa.resources import MessageBasedResource

from bellwire.simulator_backend.devices.hislip_server import HislipLine
from bellwire.simulator_backend.devices.instrument_emulator import InstrumentEmulator
from bellwire.simulator_backend.devices.message_device import MessageLine
from bellwire.simulator_backend.devices.vxi11_server import Vxi11Line
from tests.simulator_backend.devices.scpi_meters import Meter

T = TypeVar("T")
TIMEOUT_MS = 3000
SHORT_MS = 60
"""For what is not answered."""

DEADLINE_S = 10.0
LINES: list[type[MessageLine]] = [Vxi11Line, HislipLine]


def resource_name(line: MessageLine) -> str:
    """What VISA calls the instrument on a line."""
    if isinstance(line, HislipLine):
        return f"TCPIP::127.0.0.1::hislip0,{line.port}::INSTR"
    return f"TCPIP::127.0.0.1,{line.port}::inst0::INSTR"


@contextlib.asynccontextmanager
async def powered(*lines: MessageLine) -> AsyncIterator[InstrumentEmulator]:
    """A meter on some lines; its clock is the time of the loop."""
    loop = asyncio.get_running_loop()
    emulator = InstrumentEmulator("meter", Meter, lines, clock=lambda: int(loop.time() * 1e9))
    await emulator.start()
    try:
        yield emulator
    finally:
        await emulator.stop()


@functools.cache
def manager() -> pyvisa.ResourceManager:
    """The one resource manager of pyvisa; to close it would close the clients of every thread."""
    return pyvisa.ResourceManager("@py")


@contextlib.contextmanager
def opened(line: MessageLine, timeout_ms: int = TIMEOUT_MS) -> Iterator[MessageBasedResource]:
    """One client, connected; blocking, so to be used in a thread."""
    resource = manager().open_resource(resource_name(line))
    assert isinstance(resource, MessageBasedResource)
    resource.timeout = timeout_ms
    resource.read_termination = None
    try:
        yield resource
    finally:
        with contextlib.suppress(OSError, pyvisa.VisaIOError):  # the test may have ended the connection
            resource.close()


async def visa(
    line: MessageLine, use: Callable[[MessageBasedResource], T], timeout_ms: int = TIMEOUT_MS
) -> T:
    """Connect a client and use it, in a thread."""

    def work() -> T:
        with opened(line, timeout_ms) as resource:
            return use(resource)

    return await asyncio.to_thread(work)


def meter_of(emulator: InstrumentEmulator) -> Meter:
    """The meter that is powered."""
    assert isinstance(emulator.model, Meter)
    return emulator.model


async def until(holds: Callable[[], bool]) -> None:
    """Let the loop run until something holds. Raises TimeoutError."""
    async with asyncio.timeout(DEADLINE_S):
        while not holds():  # noqa: ASYNC110 - what is waited for lies in objects that tell nobody
            await asyncio.sleep(0.001)


def fails(resource: MessageBasedResource, question: str) -> StatusCode | type[BaseException]:
    """How a question that is not answered shows to the client."""
    try:
        answer = resource.query(question)
    except pyvisa.VisaIOError as error:
        return StatusCode(error.error_code)
    except (OSError, RuntimeError) as error:  # pyvisa-py lets both through
        return type(error)
    raise AssertionError(f"{question} was answered: {answer!r}")


def clients_of(line: MessageLine) -> int:
    """How many clients a line remembers."""
    assert isinstance(line, Vxi11Line | HislipLine)
    return line.links if isinstance(line, Vxi11Line) else line.sessions
