"""VXI-11 and HiSLIP alike, judged by pyvisa-py: questions get their own answers, whatever goes wrong
between.
"""

import asyncio
import concurrent.futures
import contextlib
import functools
import gc

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
from bellwire.simulator_backend.devices.device_model import LineModel
from bellwire.simulator_backend.devices.faults import Fault
from bellwire.simulator_backend.devices.hislip_server import HislipLine
from bellwire.simulator_backend.devices.instrument_emulator import InstrumentEmulator
from bellwire.simulator_backend.devices.lines import Client
from bellwire.simulator_backend.devices.message_device import (
    OUTPUT_BYTES_MAX,
    Chunk,
    MessageChannel,
    MessageLine,
)
from bellwire.simulator_backend.devices.vxi11_server import Vxi11Line
from tests.simulator_backend.devices.visa_clients import (
    LINES,
    meter_of,
    opened,
    powered,
    resource_name,
    until,
    visa,
)

SHORT_MS = 60
LATE_S = 0.15

both = pytest.mark.parametrize("make_line", LINES)


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


@both
async def test_a_client_of_another_project_asks_sets_and_reads_back(make_line: type[MessageLine]) -> None:
    def use(resource: MessageBasedResource) -> list[str]:
        resource.write("CORR:WAV 850 NM")
        return [resource.query(question) for question in ("*IDN?", "CORR:WAV?;:TRIG:COUN?", "SYST:ERR?")]

    line = make_line(0, "127.0.0.1")
    async with powered(line) as emulator:
        assert await visa(line, use) == [
            "bellwire,Meter,000123,1.0\n",
            "8.500000000E-07;1\n",
            '0,"No error"\n',
        ]
        assert [logged.changes for logged in emulator.log] == [True, False, False, False]


@both
async def test_blocks_beyond_every_buffer_pass_both_ways(make_line: type[MessageLine]) -> None:
    block = bytes(range(256)) * 1200  # 307 200 bytes with each value, line feeds among them

    def use(resource: MessageBasedResource) -> bytes:
        resource.write_binary_values("MEM ", list(block), datatype="B")
        return bytes(map(int, resource.query_binary_values("MEM?", datatype="B")))

    line = make_line(0, "127.0.0.1")
    async with powered(line) as emulator:
        answer = await visa(line, use)
        assert meter_of(emulator).memory == block
    assert answer == block


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
        emulator.set_fault(Fault.LATE_REPLY, delay_s=4 * LATE_S, times=1)
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


@both
async def test_clients_at_the_same_time_get_each_their_own_answers(make_line: type[MessageLine]) -> None:
    def use(number: int) -> list[str]:
        with opened(line) as resource:
            return [resource.query(f"DISP:TEXT '{number}-{k}';TEXT?") for k in range(25)]

    line = make_line(0, "127.0.0.1")
    async with powered(line):
        with concurrent.futures.ThreadPoolExecutor(4) as threads:
            loop = asyncio.get_running_loop()
            answers = await asyncio.gather(*(loop.run_in_executor(threads, use, n) for n in range(4)))
    assert answers == [[f'"{n}-{k}"\n' for k in range(25)] for n in range(4)]


@both
async def test_a_read_without_question_times_out_and_is_an_error(make_line: type[MessageLine]) -> None:
    def use(resource: MessageBasedResource) -> str:
        resource.timeout = SHORT_MS
        with contextlib.suppress(pyvisa.VisaIOError):
            raise AssertionError(resource.read())
        resource.timeout = 3000
        return resource.query("SYST:ERR?")

    line = make_line(0, "127.0.0.1")
    async with powered(line):
        # HiSLIP sends responses by itself: the server cannot see that somebody reads.
        expected = '0,"No error"\n' if make_line is HislipLine else '-420,"Query UNTERMINATED"\n'
        assert await visa(line, use) == expected


@both
async def test_a_question_over_an_answer_that_nobody_read_interrupts_it(make_line: type[MessageLine]) -> None:
    def use(resource: MessageBasedResource) -> list[str]:
        resource.write("*IDN?")
        resource.write("TRIG:SOUR?")
        return [resource.read(), resource.query("SYST:ERR?"), resource.query("*ESR?")]

    line = make_line(0, "127.0.0.1")
    async with powered(line):
        assert await visa(line, use) == ["INT\n", '-410,"Query INTERRUPTED"\n', str(128 + 4) + "\n"]


def clears(resource: MessageBasedResource) -> list[str]:
    """Ask, clear instead of reading, ask again."""
    resource.write("TRIG:COUN 5;*IDN?")
    resource.clear()
    return [resource.query("TRIG:COUN?"), resource.query("SYST:ERR?")]


@both
async def test_device_clear_forgets_a_question_without_an_error(make_line: type[MessageLine]) -> None:
    line = make_line(0, "127.0.0.1")
    async with powered(line) as emulator:
        emulator.set_fault(Fault.SILENT, times=1)
        assert await visa(line, clears) == ["5\n", '0,"No error"\n']


async def test_device_clear_forgets_an_answer_that_waits_for_its_reader() -> None:
    # Not over HiSLIP: pyvisa-py 0.8.1 takes a response sent before the clear for its acknowledgement.
    line = Vxi11Line()
    async with powered(line):
        assert await visa(line, clears) == ["5\n", '0,"No error"\n']


@both
async def test_the_status_byte_is_polled_beside_the_messages(make_line: type[MessageLine]) -> None:
    def use(resource: MessageBasedResource) -> list[int]:
        resource.query("*SRE 4;*OPC?")
        before = resource.read_stb()
        resource.query("BOGUS;*OPC?")
        return [before, resource.read_stb(), resource.read_stb()]

    line = make_line(0, "127.0.0.1")
    async with powered(line):
        assert await visa(line, use) == [0, 4 + 64, 4]


@both
async def test_a_response_that_no_output_queue_holds_deadlocks_and_is_dropped(
    make_line: type[MessageLine],
) -> None:
    def use(resource: MessageBasedResource) -> tuple[object, str]:
        resource.timeout = 10 * SHORT_MS
        first = fails(resource, "MEM?")
        resource.timeout = 3000
        return first, resource.query("SYST:ERR?;ERR?")

    line = make_line(0, "127.0.0.1")
    async with powered(line) as emulator:
        meter_of(emulator).memory = bytes(OUTPUT_BYTES_MAX)
        first, errors = await visa(line, use)
        assert first is StatusCode.error_timeout
        assert errors.startswith('-430,"Query DEADLOCKED"')


class Plain(LineModel):
    """A device with lines of its own kind and no status byte."""

    terminator = b"\n"

    def reply(self, line: str, now_ns: int) -> str | None:
        return line[:-1] if line.endswith("?") else None


@both
async def test_a_device_without_status_byte_is_served_as_well(make_line: type[MessageLine]) -> None:
    line = make_line(0, "127.0.0.1")
    emulator = InstrumentEmulator("plain", Plain, [line])
    await emulator.start()
    try:
        answers = await visa(line, lambda resource: [resource.query("echo?"), resource.read_stb()])
        assert answers == ["echo\n", 0]
    finally:
        await emulator.stop()


@both
async def test_a_hundred_clients_come_and_go_without_leaving_anything(make_line: type[MessageLine]) -> None:
    def come_and_go() -> None:
        for _ in range(50):
            with opened(line) as resource:
                resource.query("*OPC?")

    line = make_line(0, "127.0.0.1")
    async with powered(line):
        await asyncio.to_thread(come_and_go)
        await until(lambda: clients_of(line) == 0)
        gc.collect()
        tasks = len(asyncio.all_tasks())
        await asyncio.to_thread(come_and_go)
        await until(lambda: clients_of(line) == 0)
        await until(lambda: len(asyncio.all_tasks()) <= tasks)


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


class Unplugged(MessageLine):
    """A line without a transport: what it delivers is kept."""

    def __init__(self) -> None:
        super().__init__(0, "127.0.0.1")
        self.delivered: list[tuple[Client, bytes]] = []
        self.on_octets = self._keep

    def _keep(self, client: Client, octets: bytes) -> None:
        self.delivered.append((client, octets))

    async def open(self) -> None:
        return

    async def close(self) -> None:
        return


def test_a_response_to_a_message_before_the_present_one_goes_nowhere() -> None:
    line = Unplugged()
    channel = MessageChannel(line, lambda _: None)
    channel.write(b"SET 1", end=True)
    channel.write(b"AS", end=False)
    line.delivered[0][0].send(b"done\n")  # a device that acknowledges sets, and is late
    channel.write(b"K?", end=True)
    assert channel.read(100) is None
    line.delivered[0][0].send(b"done\n")
    line.delivered[1][0].send(b"4")
    line.delivered[1][0].send(b"2\n")
    line.delivered[1][0].send(b"43\n")  # one response to one message
    assert [octets for _, octets in line.delivered] == [b"SET 1\n", b"ASK?\n"]
    assert [channel.read(1), channel.read(100)] == [Chunk(b"4", False), Chunk(b"2\n", True)]
    assert channel.interruptions == 0
