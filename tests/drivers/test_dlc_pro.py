"""The Toptica DLC pro: driver and emulator on a loopback socket, and the emulator by its bytes."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator
from datetime import datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bellwire.core.errors import DeviceFault, LocalMisuse
from bellwire.drivers.decop import DecopValue, decode, encode
from bellwire.drivers.dlc_pro import DlcPro
from bellwire.drivers.faults import DeviceError, IdentityRefused, LinkTimeout, ProtocolFault
from bellwire.drivers.instrument import Backoff, Condition
from bellwire.drivers.readings import Quality
from bellwire.drivers.roles import CurrentLaser
from bellwire.drivers.session import SessionSettings
from bellwire.simulator_backend.devices.dlc_pro_emulator import SERIAL_NUMBER, DlcProModel, make
from bellwire.simulator_backend.devices.dlc_pro_laser import DlcProLaser, power_mw
from bellwire.simulator_backend.devices.emulators import EmulatorOrder
from bellwire.simulator_backend.devices.faults import Fault
from bellwire.simulator_backend.devices.instrument_emulator import InstrumentEmulator
from bellwire.simulator_backend.devices.surroundings import Alone, Wiring
from tests.drivers.conftest import eventually

QUICK = SessionSettings(timeout_s=0.15, quiet_s=0.0005)
RETRY = Backoff(first_s=0.01, longest_s=0.05, refused_s=0.05)
S = 10**9


@pytest.fixture
def table() -> Alone:
    return Alone()


@pytest.fixture
async def emulator(table: Alone) -> AsyncIterator[InstrumentEmulator]:
    order = EmulatorOrder(name="dlc", address="tcp://127.0.0.1:0", wiring=Wiring(table), pace=0.2)
    dlc = make(order)
    await dlc.start()
    yield dlc
    await dlc.stop()


def place(emulator: InstrumentEmulator, line: int = 0) -> int:
    port = getattr(emulator.lines[line], "port", None)
    assert isinstance(port, int)
    return port


def driver_of(emulator: InstrumentEmulator, serial_number: str | None = None) -> DlcPro:
    address = f"tcp://127.0.0.1:{place(emulator)}"
    return DlcPro(
        "dlc", address, serial_number=serial_number, settings=QUICK, backoff=RETRY, probe_s=0.02, pace=0.0
    )


@pytest.fixture
async def driver(emulator: InstrumentEmulator) -> AsyncIterator[DlcPro]:
    dlc = driver_of(emulator)
    await dlc.connect()
    yield dlc
    await dlc.close()


def laser_of(emulator: InstrumentEmulator) -> DlcProLaser:
    assert isinstance(emulator.model, DlcProModel)
    return emulator.model.laser


class Terminal:
    """A plain TCP client of one of its lines."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def ask(self, command: str) -> str:
        self.writer.write(command.encode() + b"\n")
        return (await asyncio.wait_for(self.reader.readuntil(b"\n> "), 2.0))[:-3].decode()

    async def line(self) -> str:
        return (await asyncio.wait_for(self.reader.readuntil(b"\r\n"), 2.0)).decode().strip()


@pytest.fixture
async def terminal(emulator: InstrumentEmulator) -> AsyncIterator[Terminal]:
    end = Terminal(*await asyncio.open_connection("127.0.0.1", place(emulator)))
    await asyncio.wait_for(end.reader.readuntil(b"DeCoF Command Line\r\n> "), 2.0)
    yield end
    end.writer.close()
    await end.writer.wait_closed()


@pytest.fixture
async def monitor(emulator: InstrumentEmulator) -> AsyncIterator[Terminal]:
    end = Terminal(*await asyncio.open_connection("127.0.0.1", place(emulator, 1)))
    yield end
    end.writer.close()
    await end.writer.wait_closed()


# -- values -------------------------------------------------------------------------------------------------

ATOMS = (
    st.booleans()
    | st.integers(-(2**63), 2**63)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="utf-8", exclude_characters="\r\n"), max_size=12)
    | st.binary(max_size=12)
)


@given(st.recursive(ATOMS, lambda inner: st.lists(inner, max_size=4).map(tuple), max_leaves=6))
@settings(derandomize=True, deadline=None)
def test_a_value_comes_back_from_its_text_in_its_own_type(value: DecopValue) -> None:
    found = decode(encode(value))
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize("text", ["", ")", "(1 2", '"open', "1 2", "nothing", "#x", "&###", "(" * 50])
def test_a_text_that_is_not_one_value_is_refused(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - the words of `float` differ from ours
        decode(text)


# -- dialect ------------------------------------------------------------------------------------------------


async def test_the_driver_is_a_current_laser_and_knows_serial_number_and_firmware(driver: DlcPro) -> None:
    assert isinstance(driver, CurrentLaser)
    assert driver.identity is not None
    assert (driver.identity.model, driver.identity.serial_number) == ("DLC pro", SERIAL_NUMBER)
    assert driver.identity.firmware == "3.0.1"


async def test_another_serial_number_is_refused(emulator: InstrumentEmulator) -> None:
    with pytest.raises(IdentityRefused, match="serial number"):
        await driver_of(emulator, serial_number="DLC PRO_020295").connect()


async def test_connecting_and_reading_everything_sends_no_set(
    driver: DlcPro, emulator: InstrumentEmulator
) -> None:
    for parameter in driver.parameters:
        await driver.read_parameter(parameter.name)
    assert len(emulator.log) >= len(driver.parameters)
    assert not [logged.request for logged in emulator.log if logged.changes]


async def test_something_else_on_the_port_is_not_taken_for_a_controller() -> None:
    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"SSH-2.0 nobody\n> ")
        await reader.read()
        writer.close()

    async with await asyncio.start_server(greet, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(ProtocolFault, match="banner"):
            await DlcPro("dlc", f"127.0.0.1:{port}", settings=QUICK).connect()


async def test_a_silent_port_ends_in_a_timeout(emulator: InstrumentEmulator) -> None:
    emulator.set_fault(Fault.SILENT)
    with pytest.raises(LinkTimeout, match="no prompt"):
        await driver_of(emulator).connect()


async def test_the_shapes_of_answers_are_those_of_the_maker(terminal: Terminal) -> None:
    assert await terminal.ask("(param-ref 'serial-number)") == f'"{SERIAL_NUMBER}"'
    assert await terminal.ask("(param-ref 'laser1:dl:cc:enabled)") == "#f"
    assert await terminal.ask("(param-set! 'laser1:dl:cc:current-set 71.5)") == "0"
    assert await terminal.ask("(param-ref 'laser1:dl:cc:current-set)") == "71.5"
    assert await terminal.ask(
        "`(,(param-ref 'laser1:dl:cc:enabled),(param-ref 'laser1:dl:cc:current-set))"
    ) == ("(#f 71.5)")
    both = "(+ (param-set! 'laser1:dl:cc:enabled #t)(param-set! 'laser1:dl:cc:current-set 72.0))"
    assert await terminal.ask(both) == "0"
    assert await terminal.ask("(param-ref 'laser1:dl:cc:current-act)") == "72.0"


@pytest.mark.parametrize(
    "command",
    [
        "(param-ref 'laser9:dl:cc:enabled)",
        "(param-set! 'laser1:dl:cc:current-act 10.0)",
        "(param-set! 'laser1:dl:cc:current-set #t)",
        '(param-set! \'laser1:dl:cc:enabled "yes")',
        "(param-set! 'laser1:dl:cc:positive-polarity #f)",
        "(exec 'no-such-command)",
        "hello",
    ],
)
async def test_what_is_unknown_read_only_of_the_wrong_type_or_level_is_refused(
    terminal: Terminal, command: str
) -> None:
    answer = await terminal.ask(command)
    assert answer.startswith("Error: -")
    assert int(answer.split()[1]) < 0


async def test_maintenance_opens_what_normal_users_cannot_write(terminal: Terminal) -> None:
    assert await terminal.ask('(exec \'change-ul 2 "wrong")') == "3"
    assert await terminal.ask('(exec \'change-ul 2 "CAUTION")') == "2"
    assert await terminal.ask("(param-set! 'laser1:dl:cc:positive-polarity #f)") == "0"


async def test_a_current_above_the_clip_is_lowered_with_a_warning(terminal: Terminal) -> None:
    assert int(await terminal.ask("(param-set! 'laser1:dl:cc:current-set 500.0)")) > 0
    assert await terminal.ask("(param-ref 'laser1:dl:cc:current-set)") == "140.0"


async def test_the_monitoring_line_tells_changes_and_refuses_unknown_names(
    monitor: Terminal, terminal: Terminal
) -> None:
    monitor.writer.write(b"(add 'laser1:dl:cc:current-set 10)\n")
    stamp, name, value = (await monitor.line()).strip("()").split()
    assert (name, value) == ("'laser1:dl:cc:current-set", "60.0")
    assert datetime.strptime(stamp, "%Y-%m-%dT%H:%M:%S.%fZ").year >= 2024
    await terminal.ask("(param-set! 'laser1:dl:cc:current-set 75.0)")
    assert (await monitor.line()).endswith("'laser1:dl:cc:current-set 75.0)")
    monitor.writer.write(b"(add 'nothing)\n")
    assert (await monitor.line()).startswith("(Error: -3 (")


async def test_discovery_tells_label_and_ports(emulator: InstrumentEmulator) -> None:
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[bytes] = loop.create_future()

    class Receiver(asyncio.DatagramProtocol):
        def datagram_received(self, data: bytes, addr: object) -> None:
            answer.set_result(data)

    transport, _ = await loop.create_datagram_endpoint(
        Receiver, remote_addr=("127.0.0.1", place(emulator, 2))
    )
    transport.sendto(b"who else?")
    transport.sendto(b"whoareyou?")
    told = decode((await asyncio.wait_for(answer, 2.0)).decode())
    transport.close()
    assert isinstance(told, tuple)
    assert (told[0], told[5]) == (SERIAL_NUMBER, "pump")
    assert told[7:] == ("127.0.0.1", place(emulator), place(emulator, 1))


# -- light --------------------------------------------------------------------------------------------------


async def test_light_needs_current_above_threshold_and_follows_the_slope(
    driver: DlcPro, emulator: InstrumentEmulator, table: Alone
) -> None:
    await driver.set_current_ma(20.0)
    await driver.set_emission(True)
    assert await driver.read_current_ma() == pytest.approx(20.0)
    assert table.values["pump_mw"] == 0.0
    await driver.set_current_ma(100.0)
    low_mw = table.values["pump_mw"]
    await driver.set_current_ma(120.0)
    # Nothing but the drift of the threshold with temperature lies between them: below 0.1 mA here.
    assert table.values["pump_mw"] - low_mw == pytest.approx(0.9 * 20.0, abs=0.1)
    await driver.set_emission(False)
    assert (table.values["pump_mw"], table.values["current_ma"]) == (0.0, 0.0)
    assert await driver.read_current_ma() == 0.0
    assert await driver.read_current_set_ma() == 120.0


def test_a_warmer_diode_has_the_higher_threshold_of_its_t0() -> None:
    # At 25 C the threshold is 32 mA; T0 of 120 K: 10 K more make 32 exp(1/12) = 34.78 mA.
    assert power_mw(32.0, 25.0) == 0.0
    assert power_mw(42.0, 25.0) == pytest.approx(9.0)
    assert power_mw(42.0, 35.0) == pytest.approx(0.9 * (42.0 - 32.0 * math.exp(10 / 120)))


def test_the_diode_settles_with_the_time_of_its_cooler(table: Alone) -> None:
    laser = DlcProLaser(Wiring(table))
    laser.now(0)
    tree = laser.tree
    assert tree.value("laser1:dl:tc:ready") is False
    laser.now(2 * S)  # one time constant: 63 % of the way from 23 C to 22 C
    assert tree.value("laser1:dl:tc:temp-act") == pytest.approx(22.0 + math.exp(-1.0), abs=1e-4)
    laser.now(12 * S)
    assert tree.value("laser1:dl:tc:ready") is True


async def test_a_temperature_that_has_not_settled_is_suspect(driver: DlcPro) -> None:
    await driver.set_diode_temperature_c(30.0)
    reading = await driver.read_parameter("diode_temperature_c")
    assert reading.quality is Quality.SUSPECT
    assert (await driver.read_parameter("current_max_ma")).quality is Quality.GOOD


async def test_limits_are_refused_before_anything_is_set(
    driver: DlcPro, emulator: InstrumentEmulator
) -> None:
    with pytest.raises(LocalMisuse, match=r"701 mA is outside 0 to 700 mA"):
        await driver.set_current_ma(701.0)
    with pytest.raises(LocalMisuse, match="outside"):
        await driver.set_current_ma(float("nan"))
    with pytest.raises(DeviceError, match=r"150 mA is above the clip 140 mA"):
        await driver.set_current_ma(150.0)
    with pytest.raises(DeviceError, match=r"170 mA is above the 160 mA of this laser head"):
        await driver.set_current_max_ma(170.0)
    with pytest.raises(DeviceError, match=r"outside 15 to 35 C"):
        await driver.set_diode_temperature_c(40.0)
    assert not [logged for logged in emulator.log if logged.changes]
    assert driver.session is not None
    assert driver.session.is_open


async def test_a_higher_clip_allows_a_higher_current(driver: DlcPro) -> None:
    await driver.set_current_max_ma(155.0)
    await driver.set_current_ma(150.0)
    assert await driver.read_current_set_ma() == 150.0
    await driver.set_current_max_ma(100.0)
    assert await driver.read_current_set_ma() == 100.0


async def test_a_set_that_the_controller_ignores_is_noticed(
    driver: DlcPro, emulator: InstrumentEmulator
) -> None:
    emulator.set_fault(Fault.IGNORED_SET)
    with pytest.raises(DeviceError, match="was set to 90 but reads 60"):
        await driver.set_current_ma(90.0)


async def test_an_open_interlock_forbids_light_and_says_what_to_do(
    driver: DlcPro, emulator: InstrumentEmulator, table: Alone
) -> None:
    await driver.set_emission(True)
    emulator.set_fault(Fault.INTERLOCK)
    assert not await driver.read_emission()
    assert table.values["pump_mw"] == 0.0
    with pytest.raises(DeviceError, match="close it"):
        await driver.set_emission(True)
    assert await driver.read_health() == "Interlock is open"


async def test_pressing_the_button_brings_no_light_while_the_interlock_is_open(
    driver: DlcPro, emulator: InstrumentEmulator, terminal: Terminal, table: Alone
) -> None:
    await driver.set_emission(True)
    emulator.set_fault(Fault.INTERLOCK)
    assert await terminal.ask("(param-ref 'emission-button-enabled)") == "#f"
    assert await terminal.ask("(param-set! 'emission-button-enabled #t)") == "0"
    assert await terminal.ask("(param-ref 'emission)") == "#f"
    assert table.values["pump_mw"] == 0.0
    emulator.clear_fault()
    assert await driver.read_emission()
    assert table.values["pump_mw"] > 0.0


async def test_the_driver_does_not_press_the_emission_button(
    driver: DlcPro, emulator: InstrumentEmulator, terminal: Terminal
) -> None:
    assert await terminal.ask("(param-set! 'emission-button-enabled #f)") == "0"
    with pytest.raises(DeviceError, match="must press it"):
        await driver.set_emission(True)
    assert await terminal.ask("(param-ref 'emission-button-enabled)") == "#f"
    assert await terminal.ask("(param-ref 'laser1:dl:cc:enabled)") == "#f"


async def test_drift_of_the_sensor_moves_the_light_though_the_reading_stays(table: Alone) -> None:
    laser = DlcProLaser(Wiring(table))
    laser.now(0)
    laser.tree.leaves["laser1:dl:cc:enabled"].write(True)  # type: ignore[misc]
    laser.now(60 * S)
    before_mw, reading = table.values["pump_mw"], laser.tree.value("laser1:dl:tc:temp-act")
    laser.drift(True)
    laser.now(160 * S)  # 100 s of 0.05 K/s: 5 K
    assert laser.tree.value("laser1:dl:tc:temp-act") == reading
    expected_mw = power_mw(60.0, 22.0 + 5.0)
    assert table.values["pump_mw"] == pytest.approx(expected_mw, abs=1e-3)
    assert expected_mw < before_mw - 1.0


# -- faults and recovery ------------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", [Fault.DOUBLE_REPLY, Fault.UNSOLICITED, Fault.GARBAGE, Fault.HALF_REPLY])
async def test_an_answer_that_nobody_asked_for_is_never_taken_for_one(
    driver: DlcPro, emulator: InstrumentEmulator, fault: Fault
) -> None:
    emulator.set_fault(fault, times=1)

    async def look_again_and_again() -> None:
        for _ in range(3):
            assert await driver.read_current_set_ma() == 60.0

    with pytest.raises(DeviceFault):
        await look_again_and_again()
    assert driver.session is not None
    assert not driver.session.is_open


async def test_a_value_without_the_serial_number_of_this_instrument_is_refused(
    driver: DlcPro, emulator: InstrumentEmulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(emulator.model, "unasked", lambda now_ns: b'(12.5 "DLC PRO_999999")\n> ')
    emulator.set_fault(Fault.UNSOLICITED, times=1)
    emulator.set_fault(Fault.LATE_REPLY, delay_s=0.05, times=1)  # so that the foreign answer comes alone
    with pytest.raises(ProtocolFault, match="serial number 'DLC PRO_999999'"):
        await driver.read_current_set_ma()


async def test_a_late_answer_puts_the_line_out_of_step_and_is_lost_with_it(
    driver: DlcPro, emulator: InstrumentEmulator
) -> None:
    await driver.set_current_ma(77.0)
    emulator.set_fault(Fault.LATE_REPLY, delay_s=0.25, times=1)
    with pytest.raises(LinkTimeout):
        await driver.read_current_set_ma()
    with pytest.raises(LinkTimeout):
        await driver.read_current_max_ma()
    await driver.close()
    await driver.connect()
    assert await driver.read_current_max_ma() == 140.0


async def test_after_a_power_cycle_current_and_light_are_asserted_again(
    emulator: InstrumentEmulator, table: Alone
) -> None:
    driver = driver_of(emulator)
    await driver.configure({"emission": True, "current_set_ma": 90.0, "diode_temperature_set_c": 25.0})
    watching = asyncio.ensure_future(driver.supervise())
    await eventually(lambda: driver.state.condition is Condition.READY, "first configuration")
    before = emulator.model
    emulator.set_fault(Fault.RESTART, times=1)
    await eventually(lambda: emulator.model is not before, "the restart")
    await eventually(
        lambda: driver.state.condition is Condition.READY and laser_of(emulator).current_ma == 90.0, "again"
    )
    assert table.values["current_ma"] == 90.0
    sets = [logged.request for logged in emulator.log if logged.changes][-3:]
    assert [name.split()[1] for name in sets] == [
        b"'laser1:dl:tc:temp-set",
        b"'laser1:dl:cc:current-set",
        b"'laser1:dl:cc:enabled",
    ]
    watching.cancel()
    await asyncio.gather(watching, return_exceptions=True)


async def test_safe_state_is_dark_and_stays_so_over_reconnects(emulator: InstrumentEmulator) -> None:
    driver = driver_of(emulator)
    await driver.configure({"emission": True, "current_set_ma": 90.0})
    watching = asyncio.ensure_future(driver.supervise())
    await eventually(lambda: driver.state.condition is Condition.READY, "connected")
    assert laser_of(emulator).emits
    await driver.safe_state()
    assert not laser_of(emulator).emits
    await emulator.power_cycle()
    await eventually(lambda: driver.state.condition is not Condition.READY, "loss noticed")
    await eventually(lambda: driver.state.condition is Condition.READY, "back")
    assert not laser_of(emulator).emits
    watching.cancel()
    await asyncio.gather(watching, return_exceptions=True)
