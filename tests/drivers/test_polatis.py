"""The Polatis OXC: driver and emulator on a socket, and the emulator by its messages."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bellwire.core.errors import LocalMisuse
from bellwire.drivers.faults import DeviceError, IdentityRefused, LinkTimeout, ProtocolFault
from bellwire.drivers.instrument import Backoff, Condition
from bellwire.drivers.polatis import Polatis
from bellwire.drivers.roles import OpticalSwitch
from bellwire.drivers.session import SessionSettings
from bellwire.simulator_backend.devices.emulators import EmulatorOrder
from bellwire.simulator_backend.devices.faults import Fault
from bellwire.simulator_backend.devices.instrument_emulator import InstrumentEmulator
from bellwire.simulator_backend.devices.polatis_emulator import PolatisModel, SwitchMemory, make
from bellwire.simulator_backend.devices.surroundings import Alone, Wiring
from bellwire.testing.emulator_thread import real_address
from tests.drivers.conftest import eventually

QUICK = SessionSettings(timeout_s=0.2, quiet_s=0.0005)
RETRY = Backoff(first_s=0.01, longest_s=0.05, refused_s=0.05)
SOCKET = "TCPIP::127.0.0.1::0::SOCKET"


@pytest.fixture
def table() -> Alone:
    return Alone()


@pytest.fixture
async def emulator(table: Alone) -> AsyncIterator[InstrumentEmulator]:
    oxc = make(EmulatorOrder(name="matrix", address=SOCKET, wiring=Wiring(table), pace=0.0))
    await oxc.start()
    yield oxc
    await oxc.stop()


def driver_at(emulator: InstrumentEmulator, serial_number: str = "002414") -> Polatis:
    return Polatis(
        "matrix",
        real_address(SOCKET, Path(), emulator),
        serial_number=serial_number,
        settings=QUICK,
        backoff=RETRY,
        probe_s=0.03,
        pace=0.0,
    )


@pytest.fixture
async def driver(emulator: InstrumentEmulator) -> AsyncIterator[Polatis]:
    oxc = driver_at(emulator)
    yield oxc
    await oxc.close()


def model_of(emulator: InstrumentEmulator) -> PolatisModel:
    assert isinstance(emulator.model, PolatisModel)
    return emulator.model


def orders(emulator: InstrumentEmulator) -> list[bytes]:
    return [logged.request.strip() for logged in emulator.log if logged.changes]


# -- driver -------------------------------------------------------------------------------------------------


async def test_light_goes_where_ports_are_connected(
    driver: Polatis, emulator: InstrumentEmulator, table: Alone
) -> None:
    identity = await driver.connect()
    assert (identity.model, identity.serial_number) == ("OXC", "002414")
    assert isinstance(driver, OpticalSwitch)
    assert table.values["route.3"] == 0
    await driver.connect_ports(3, 31)
    assert table.values["route.3"] == 7
    await driver.connect_ports(3, 40)
    assert await driver.read_connections() == {3: 40}
    assert table.values["route.3"] == 16
    await driver.disconnect_ports(3)
    await driver.disconnect_ports(3)
    assert table.values["route.3"] == 0
    assert orders(emulator) == [
        b":oxc:swit:conn:add (@3),(@31)",
        b":oxc:swit:conn:sub (@3),(@31)",
        b":oxc:swit:conn:add (@3),(@40)",
        b":oxc:swit:conn:sub (@3),(@40)",
    ]


async def test_a_connection_of_somebody_else_is_never_cut(
    driver: Polatis, emulator: InstrumentEmulator
) -> None:
    await driver.connect()
    model_of(emulator).query(":oxc:swit:conn:add (@1,2),(@25,26)")
    with pytest.raises(DeviceError, match="egress 26 is connected to ingress 2; disconnect that first"):
        await driver.connect_ports(5, 26)
    await driver.connect_ports(5, 30)
    await driver.configure({"egress.6": 33})
    await driver.safe_state()
    assert await driver.read_connections() == {1: 25, 2: 26, 5: 30}
    assert not any(b"only" in order or b"disc" in order for order in orders(emulator))


async def test_only_is_sent_when_it_is_asked_for_by_name(
    driver: Polatis, emulator: InstrumentEmulator
) -> None:
    await driver.connect()
    await driver.connect_ports(1, 25)
    await driver.connect_only({2: 26, 4: 25})
    assert model_of(emulator).connections == {2: 26, 4: 25}
    await driver.connect_only({})
    assert model_of(emulator).connections == {}


async def test_two_ports_may_take_each_others_place(driver: Polatis, emulator: InstrumentEmulator) -> None:
    await driver.connect()
    await driver.configure({"egress.1": 25, "egress.2": 26})
    await driver.configure({"egress.1": 26, "egress.2": 25})
    assert model_of(emulator).connections == {1: 26, 2: 25}


@pytest.mark.parametrize(("ingress", "egress"), [(0, 25), (25, 26), (1, 24), (1, 49)])
async def test_ports_that_the_switch_does_not_have_are_never_sent(
    driver: Polatis, emulator: InstrumentEmulator, ingress: int, egress: int
) -> None:
    await driver.connect()
    with pytest.raises(LocalMisuse, match="ports"):
        await driver.connect_ports(ingress, egress)
    assert orders(emulator) == []


async def test_one_egress_for_two_ingress_ports_is_never_sent(driver: Polatis) -> None:
    await driver.connect()
    with pytest.raises(LocalMisuse, match="two ingress ports want the same"):
        await driver.connect_only({1: 25, 2: 25})


async def test_connecting_looks_without_emptying_the_error_queue(
    driver: Polatis, emulator: InstrumentEmulator
) -> None:
    model_of(emulator).query("BOGUS")
    await driver.connect()
    assert [logged.request.strip() for logged in emulator.log] == [b"*IDN?"]
    assert len(model_of(emulator).errors) == 1
    await driver.connect_ports(1, 25)  # and what was in it is not blamed on our set
    assert len(model_of(emulator).errors) == 0


async def test_a_set_that_the_switch_refuses_is_told_with_its_words(driver: Polatis) -> None:
    await driver.connect()
    with pytest.raises(DeviceError, match="-226 Lists not same length"):
        await driver._change(":oxc:swit:conn:add (@1,2),(@25)", {})


async def test_a_set_that_is_silently_ignored_is_found_by_the_read_back(
    driver: Polatis, emulator: InstrumentEmulator
) -> None:
    await driver.connect()
    emulator.set_fault(Fault.IGNORED_SET)
    with pytest.raises(DeviceError, match=r"was set to \{1: 25\} but reads \{\}"):
        await driver.connect_ports(1, 25)


@pytest.mark.parametrize("answer", ["(@1),(@)", "(@1,1),(@25,26)", "(@1:2000),(@1:2000)", "()", '"25"'])
async def test_a_state_that_cannot_be_puts_the_line_out_of_step(
    driver: Polatis, emulator: InstrumentEmulator, monkeypatch: pytest.MonkeyPatch, answer: str
) -> None:
    await driver.connect()
    monkeypatch.setattr(PolatisModel, "read_state", lambda model: answer)
    with pytest.raises(ProtocolFault):
        await driver.read_connections()
    with pytest.raises(ProtocolFault):  # nothing is believed on this connection any more
        await driver.read_size()


async def test_a_late_answer_is_not_taken_for_the_next(driver: Polatis, emulator: InstrumentEmulator) -> None:
    await driver.connect()
    await driver.connect_ports(1, 25)
    emulator.set_fault(Fault.LATE_REPLY, delay_s=0.3, times=1)
    with pytest.raises(LinkTimeout):
        await driver.read_size()
    await driver.close()
    await driver.connect()
    assert await driver.read_connections() == {1: 25}


async def test_another_make_and_another_unit_are_refused(
    emulator: InstrumentEmulator, driver: Polatis
) -> None:
    with pytest.raises(IdentityRefused, match="expected '002415', found '002414'"):
        await driver_at(emulator, "002415").connect()
    model_of(emulator).identity = "Acme,OSW,002414,1"
    with pytest.raises(IdentityRefused, match="expected 'OXC', found 'OSW'"):
        await driver.connect()


async def test_connections_come_back_after_a_power_cycle_and_stay_away_after_a_safe_state(
    driver: Polatis, emulator: InstrumentEmulator
) -> None:
    task = asyncio.create_task(driver.supervise())
    await driver.wait_for(Condition.READY, 5)
    await driver.configure({"egress.1": 25, "egress.2": 0})
    await driver.connect_ports(1, 27)  # the last word holds
    await emulator.power_cycle()
    await eventually(lambda: model_of(emulator).connections == {1: 27}, "the connection is made again")
    await driver.wait_for(Condition.READY, 5)
    await driver.safe_state()
    model_of(emulator).query(":oxc:swit:conn:add (@1),(@25)")  # somebody at the front panel
    await eventually(lambda: model_of(emulator).connections == {}, "the connection is taken away again")
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


# -- emulator -----------------------------------------------------------------------------------------------


@pytest.fixture
def oxc() -> PolatisModel:
    return PolatisModel(Wiring(Alone()))


def test_the_documented_answers_are_given_word_for_word(oxc: PolatisModel) -> None:
    assert oxc.execute(b"*idn?\r", 0)[0].octets == b"Polatis,I-OST-24x24-LU1-DMHNS,002414,6.5.2.18\r\n"
    oxc.query(":oxc:swit:conn:add (@1,2),(@41,42)")
    assert oxc.query(":oxc:swit:conn:stat?") == "(@1,2),(@41,42)\r"
    assert oxc.query(":oxc:swit:conn:port? 2") == '"42"\r'
    assert oxc.query(":OXC:SWITch:CONNect:PORT? 41") == '"1"\r'
    assert oxc.query(":oxc:swit:conn:port? 3") == '""\r'
    assert oxc.query(":oxc:swit:size?") == "24,24\r"
    assert oxc.query(":syst:err?") == '0,"No error"\r'


def test_taking_away_with_an_empty_list_drops_whatever_the_ports_have(oxc: PolatisModel) -> None:
    oxc.query(":oxc:swit:conn:only (@1,2,3),(@25,26,27)")
    oxc.query(":oxc:swit:conn:sub (@1),(@26)")  # no such pair
    assert oxc.connections == {1: 25, 2: 26, 3: 27}
    oxc.query(":oxc:swit:conn:sub (@1,2),(@)")
    assert oxc.connections == {3: 27}
    oxc.query(":oxc:swit:conn:sub (@),(@27)")
    assert oxc.connections == {}


@pytest.mark.parametrize(
    ("command", "code"),
    [
        ("add (@1,2),(@25)", -226),
        ("add (@1,1),(@25,26)", -224),
        ("add (@25),(@26)", -222),
        ("add (@1),(@24)", -222),
        ("add (@1)", -109),
        ("add 1,25", -104),
        ("add (@x),(@25)", -171),
    ],
)
def test_what_cannot_be_connected_changes_nothing_and_is_in_the_error_queue(
    oxc: PolatisModel, command: str, code: int
) -> None:
    oxc.query(":oxc:swit:conn:add (@5),(@30)")
    oxc.query(f":oxc:swit:conn:{command}")
    assert oxc.connections == {5: 30}
    assert oxc.query(":syst:err?").startswith(f"{code},")


def test_completion_is_told_when_the_mirrors_have_come_to_rest(oxc: PolatisModel) -> None:
    (answer,) = oxc.execute(b":oxc:swit:conn:add (@1),(@25);*OPC?", 0)
    assert (answer.octets, answer.after_s) == (b"1\r\n", 0.02)


@pytest.mark.parametrize(("mode", "kept"), [("DARK", {}), ("REST", {1: 25}), ("AUT", {1: 25, 2: 26})])
def test_the_boot_mode_says_what_is_connected_after_power_up(mode: str, kept: dict[int, int]) -> None:
    memory = SwitchMemory()
    table = Alone()
    first = PolatisModel(Wiring(table), memory)
    first.query(f":oxc:swit:conn:add (@1),(@25);:oxc:boot:mode {mode};:oxc:swit:conn:add (@2),(@26)")
    first.power_off(0)
    assert not any(table.values.values())
    second = PolatisModel(Wiring(table), memory)
    second.power_on(0)
    assert second.connections == kept
    assert {int(word[6:]): route for word, route in table.values.items() if route} == {
        ingress: egress - 24 for ingress, egress in kept.items()
    }


def test_in_a_lab_only_the_routes_that_it_wires_are_turned() -> None:
    table = Alone()
    oxc = PolatisModel(Wiring(table, {"route.1": "switch.route_1"}))
    oxc.power_on(0)
    oxc.query(":oxc:swit:conn:add (@1,2),(@26,25)")
    assert table.values == {"switch.route_1": 2}
