"""VXI-11 and HiSLIP alike, judged by pyvisa-py: messages, blocks, clear, polls, many clients."""

import asyncio
import concurrent.futures
import contextlib
import gc

import pytest
import pyvisa
from pyvisa.constants import StatusCode
from pyvisa.resources import MessageBasedResource

from bellwire.core.errors import ConfigError
from bellwire.drivers.addresses import stream
from bellwire.drivers.replies import line as one_line
from bellwire.drivers.session import Session
from bellwire.labs.free_ports import free_ports
from bellwire.simulator_backend.devices.device_model import LineModel
from bellwire.simulator_backend.devices.emulators import EmulatorOrder
from bellwire.simulator_backend.devices.faults import Fault
from bellwire.simulator_backend.devices.hislip_server import HislipLine
from bellwire.simulator_backend.devices.instrument_emulator import InstrumentEmulator
from bellwire.simulator_backend.devices.lines import Client, Line, TcpLine, TerminalLine
from bellwire.simulator_backend.devices.message_device import (
    OUTPUT_BYTES_MAX,
    Chunk,
    MessageChannel,
    MessageLine,
)
from bellwire.simulator_backend.devices.vxi11_server import Vxi11Line
from tests.simulator_backend.devices.visa_clients import (
    LINES,
    SHORT_MS,
    clients_of,
    fails,
    meter_of,
    opened,
    powered,
    until,
    visa,
)

both = pytest.mark.parametrize("make_line", LINES)


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
async def test_a_question_that_the_device_refuses_has_no_answer_that_could_be_interrupted(
    make_line: type[MessageLine],
) -> None:
    def use(resource: MessageBasedResource) -> list[object]:
        resource.timeout = SHORT_MS
        first = fails(resource, "BOGUS?")
        resource.timeout = 3000
        return [first, resource.query("SYST:ERR?"), resource.query("SYST:ERR?")]

    line = make_line(0, "127.0.0.1")
    async with powered(line):
        # Over VXI-11 the device sees that somebody reads although it has nothing to say.
        second = '0,"No error"\n' if make_line is HislipLine else '-420,"Query UNTERMINATED"\n'
        assert await visa(line, use) == [
            StatusCode.error_timeout,
            '-113,"Undefined header;BOGUS?"\n',
            second,
        ]


@both
async def test_a_question_mark_within_a_string_or_a_block_asks_nothing(make_line: type[MessageLine]) -> None:
    def use(resource: MessageBasedResource) -> list[str]:
        resource.write("DISP:TEXT 'why?'")
        resource.write_raw(b"MEM #13?;?")
        resource.write("TRIG:COUN 3")
        return [resource.query("TRIG:COUN?"), resource.query("SYST:ERR?")]

    line = make_line(0, "127.0.0.1")
    async with powered(line) as emulator:
        emulator.set_fault(
            Fault.HANG, delay_s=0.05
        )  # so that the next message comes while the first is in work
        assert await visa(line, use) == ["3\n", '0,"No error"\n']


@both
async def test_a_message_of_several_lines_gets_the_answer_of_the_line_that_asks(
    make_line: type[MessageLine],
) -> None:
    def use(resource: MessageBasedResource) -> list[str]:
        resource.write_raw(b"TRIG:COUN 4\nTRIG:SOUR BUS\nTRIG:COUN?")
        return [resource.read(), resource.query("SYST:ERR?")]

    line = make_line(0, "127.0.0.1")
    async with powered(line):
        assert await visa(line, use) == ["4\n", '0,"No error"\n']


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


@pytest.mark.parametrize(
    "address",
    ["TCPIP::127.0.0.1,{}::inst0::INSTR", "TCPIP0::127.0.0.1,{}::INSTR", "tcpip::127.0.0.1::hislip0,{}"],
)
async def test_the_address_of_a_lab_file_makes_the_line_that_a_driver_with_that_address_finds(
    address: str,
) -> None:
    place = address.format(*free_ports(1))
    line = EmulatorOrder(name="meter", address=place).messages(5025)
    assert isinstance(line, MessageLine)
    async with powered(line):
        session = Session("meter", stream("meter", place))
        await session.open()
        assert await session.exchange(b"TRIG:COUN?\n", one_line()) == b"1"
        await session.close()


@pytest.mark.parametrize(
    ("address", "kind"),
    [
        ("tcp://127.0.0.1:20500", TcpLine),
        ("TCPIP::127.0.0.1::hislip0::INSTR", HislipLine),
        ("pty:x", TerminalLine),
    ],
)
def test_other_addresses_are_those_of_their_own_lines(address: str, kind: type[Line]) -> None:
    assert type(EmulatorOrder(name="meter", address=address).messages(5025)) is kind


def test_an_emulator_is_served_on_this_machine_only() -> None:
    with pytest.raises(ConfigError, match="meter"):
        EmulatorOrder(name="meter", address="TCPIP::192.0.2.1,20500::inst0::INSTR").messages(5025)
