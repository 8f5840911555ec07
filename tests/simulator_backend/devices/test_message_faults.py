"""VXI-11 and HiSLIP under each fault of a link: a late reply is never the answer to another question.

The clients are pyvisa-py, and our own session on top of it.
"""

import asyncio
import contextlib
import functools

import pytest
import pyvisa
from hypothesis import given, settings
from hypothesis import strategies as st
from pyvisa.constants import StatusCode
from pyvisa.resources import MessageBasedResource

from bellwire.drivers.faults import Disconnected, LinkTimeout
from bellwire.drivers.replies import line as one_line
from bellwire.drivers.session import Session
from bellwire.drivers.visa_transport import VisaTransport
from bellwire.simulator_backend.devices.faults import Fault
from bellwire.simulator_backend.devices.hislip_server import HislipLine
from bellwire.simulator_backend.devices.message_device import (
    MessageLine,
)
from bellwire.simulator_backend.devices.vxi11_server import Vxi11Line
from tests.simulator_backend.devices.visa_clients import (
    LINES,
    SHORT_MS,
    clients_of,
    fails,
    meter_of,
    powered,
    resource_name,
    until,
    visa,
)

LATE_S = 0.3

both = pytest.mark.parametrize("make_line", LINES)


@both
async def test_a_reply_that_comes_while_nobody_waits_is_not_the_next_answer(
    make_line: type[MessageLine],
) -> None:
    line = make_line(0, "127.0.0.1")
    async with powered(line) as emulator:
        emulator.set_fault(Fault.LATE_REPLY, delay_s=LATE_S, times=1)
        came = asyncio.Event()
        loop = asyncio.get_running_loop()

        def use(resource: MessageBasedResource) -> tuple[object, list[str]]:
            resource.timeout = SHORT_MS
            first = fails(resource, "*IDN?")
            resource.timeout = 3000
            asyncio.run_coroutine_threadsafe(came.wait(), loop).result()
            return first, [resource.query(question) for question in ("TRIG:COUN?", "TRIG:SOUR?", "SYST:ERR?")]

        asking = asyncio.ensure_future(visa(line, use))
        await until(lambda: len(emulator.log) == 1)
        # The emulator carries out requests in turn: when it answers another client, the late reply has left.
        await visa(line, lambda resource: resource.query("*OPC?"))
        came.set()
        first, answers = await asking
        assert first is StatusCode.error_timeout
        assert answers == ["1\n", "INT\n", '-410,"Query INTERRUPTED"\n']


@both
async def test_a_question_asked_before_the_late_reply_gets_its_own(make_line: type[MessageLine]) -> None:
    def use(resource: MessageBasedResource) -> tuple[object, list[str]]:
        resource.timeout = SHORT_MS
        first = fails(resource, "*IDN?")
        resource.timeout = 3000
        return first, [resource.query(question) for question in ("TRIG:COUN?", "TRIG:SOUR?", "SYST:ERR?")]

    line = make_line(0, "127.0.0.1")
    async with powered(line) as emulator:
        emulator.set_fault(Fault.LATE_REPLY, delay_s=2 * LATE_S, times=1)
        first, answers = await visa(line, use)
        assert first is StatusCode.error_timeout
        assert answers == ["1\n", "INT\n", '-410,"Query INTERRUPTED"\n']


@both
@pytest.mark.parametrize("fault", [Fault.HALF_REPLY, Fault.SILENT, Fault.LOST_FRAME])
async def test_a_reply_that_never_ends_is_a_timeout_and_the_next_is_right(
    make_line: type[MessageLine], fault: Fault
) -> None:
    def use(resource: MessageBasedResource) -> tuple[object, str]:
        resource.timeout = SHORT_MS
        first = fails(resource, "*IDN?")
        resource.timeout = 3000
        return first, resource.query("TRIG:COUN?")

    line = make_line(0, "127.0.0.1")
    async with powered(line) as emulator:
        emulator.set_fault(fault, times=1)
        assert await visa(line, use) == (StatusCode.error_timeout, "1\n")


@both
@pytest.mark.parametrize(
    ("fault", "first"),
    [
        (Fault.DOUBLE_REPLY, "bellwire,Meter,000123,1.0\nbellwire,Meter,000123,1.0\n"),
        (Fault.DROPPED_BYTE, "bellwire,Mete,000123,1.0\n"),
        (Fault.UNSOLICITED, "bellwire,Meter,000123,1.0\n"),
    ],
)
async def test_a_reply_that_is_wrong_spoils_no_other(
    make_line: type[MessageLine], fault: Fault, first: str
) -> None:
    def use(resource: MessageBasedResource) -> list[str]:
        return [resource.query(question) for question in ("*IDN?", "TRIG:COUN?", "TRIG:SOUR?")]

    line = make_line(0, "127.0.0.1")
    async with powered(line) as emulator:
        emulator.set_fault(fault, times=1)
        assert await visa(line, use) == [first, "1\n", "INT\n"]


@both
@pytest.mark.parametrize("fault", [Fault.FIN, Fault.RST])
async def test_a_connection_that_ends_is_an_error_and_a_new_one_works(
    make_line: type[MessageLine], fault: Fault
) -> None:
    line = make_line(0, "127.0.0.1")
    async with powered(line) as emulator:
        emulator.set_fault(fault, times=1)
        failure = await visa(line, lambda resource: fails(resource, "*IDN?"), SHORT_MS)
        assert failure in (StatusCode.error_io, StatusCode.error_timeout, RuntimeError) or (
            isinstance(failure, type) and issubclass(failure, OSError)
        )
        assert await visa(line, lambda resource: resource.query("TRIG:COUN?")) == "1\n"
        await until(lambda: clients_of(line) == 0)


@both
async def test_a_refused_port_refuses_until_it_is_cleared(make_line: type[MessageLine]) -> None:
    line = make_line(0, "127.0.0.1")
    async with powered(line) as emulator:
        assert await visa(line, lambda resource: resource.query("TRIG:COUN?")) == "1\n"
        port = line.port
        emulator.set_fault(Fault.REFUSED)
        await until(lambda: not listens(line))
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", port)
        emulator.clear_fault(Fault.REFUSED)
        await until(lambda: listens(line))
        assert line.port == port
        assert await visa(line, lambda resource: resource.query("TRIG:COUN?")) == "1\n"


def listens(line: MessageLine) -> bool:
    """Whether the port is open."""
    assert isinstance(line, Vxi11Line | HislipLine)
    return line.core.is_open if isinstance(line, Vxi11Line) else line.server.is_open


@both
async def test_power_that_goes_and_comes_restores_defaults(make_line: type[MessageLine]) -> None:
    line = make_line(0, "127.0.0.1")
    async with powered(line) as emulator:
        await visa(line, lambda resource: resource.query("TRIG:COUN 7;*OPC?"))
        assert meter_of(emulator).count == 7
        await emulator.power_cycle()
        assert await visa(line, lambda resource: resource.query("TRIG:COUN?;*ESR?")) == "1;128\n"


FAULTS = [None, Fault.LATE_REPLY, Fault.HALF_REPLY, Fault.SILENT, Fault.LOST_FRAME, Fault.DOUBLE_REPLY]


@both
@settings(derandomize=True, deadline=None, max_examples=12)
@given(st.lists(st.sampled_from(FAULTS), min_size=2, max_size=6))
def test_no_answer_of_before_is_ever_taken_for_a_new_one(
    make_line: type[MessageLine], faults: list[Fault | None]
) -> None:
    async def run() -> None:
        line = make_line(0, "127.0.0.1")
        async with powered(line) as emulator:
            loop = asyncio.get_running_loop()

            def use(resource: MessageBasedResource) -> None:
                for number, fault in enumerate(faults, 1):
                    if fault is not None:
                        loop.call_soon_threadsafe(
                            functools.partial(emulator.set_fault, fault, delay_s=0.04, times=1)
                        )
                    with contextlib.suppress(pyvisa.VisaIOError):
                        answer = resource.query(f"TRIG:COUN {number};COUN?")
                        assert set(answer.split()) == {str(number)}, (faults, number, answer)
                    loop.call_soon_threadsafe(emulator.clear_fault)

                resource.timeout = 3000
                assert resource.query("TRIG:COUN 99;COUN?") == "99\n"

            await visa(line, use, 30)

    asyncio.run(run())


@both
@pytest.mark.parametrize(
    ("fault", "expected"),
    [(Fault.FIN, Disconnected), (Fault.RST, Disconnected), (Fault.LATE_REPLY, LinkTimeout)],
)
async def test_our_own_session_names_what_went_wrong_and_works_again_after_it_was_reopened(
    make_line: type[MessageLine], fault: Fault, expected: type[BaseException]
) -> None:
    line = make_line(0, "127.0.0.1")
    async with powered(line) as emulator:
        session = Session("meter", VisaTransport("meter", resource_name(line)))
        await session.open()
        emulator.set_fault(fault, delay_s=LATE_S, times=1)
        with pytest.raises(expected):
            await session.exchange(b"*IDN?\n", one_line(), timeout_s=LATE_S / 2)
        await session.close()
        await session.open()
        assert await session.exchange(b"TRIG:COUN?\n", one_line()) == b"1"
        await session.close()


@both
async def test_a_session_that_closes_leaves_the_other_instruments_of_visa_open(
    make_line: type[MessageLine],
) -> None:
    line = make_line(0, "127.0.0.1")
    async with powered(line):
        first, second = (Session(name, VisaTransport(name, resource_name(line))) for name in ("a", "b"))
        await first.open()
        await second.open()
        await first.close()
        assert await second.exchange(b"TRIG:COUN?\n", one_line()) == b"1"
        await second.close()
