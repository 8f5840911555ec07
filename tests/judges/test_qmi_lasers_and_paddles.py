"""QMI's drivers, in a process of their own, drive the emulated MPC320, NKT BASIK and BOOSTIK."""

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from bellwire.simulator_backend.devices.basik_emulator import BasikModel
from bellwire.simulator_backend.devices.boostik_emulator import BoostikModel
from bellwire.simulator_backend.devices.emulators import EmulatorOrder, make_emulator
from bellwire.simulator_backend.devices.faults import Fault
from bellwire.simulator_backend.devices.instrument_emulator import InstrumentEmulator
from bellwire.simulator_backend.devices.mpc320_emulator import Mpc320Model, maker
from bellwire.simulator_backend.devices.surroundings import Alone, Wiring
from tests.judges.conftest import Peer

pytestmark = pytest.mark.judge

Start = Callable[[InstrumentEmulator], Awaitable[InstrumentEmulator]]


@pytest.fixture
async def start() -> AsyncIterator[Start]:
    running: list[InstrumentEmulator] = []

    async def power_on(emulator: InstrumentEmulator) -> InstrumentEmulator:
        await emulator.start()
        running.append(emulator)
        return emulator

    yield power_on
    for emulator in running:
        await emulator.stop()


def order_of(tmp_path: Path, table: Alone) -> EmulatorOrder:
    return EmulatorOrder(name="judged", address=str(tmp_path / "line"), wiring=Wiring(table))


async def seen_by(peer: Peer, script: str, *arguments: object) -> dict[str, Any]:
    seen: dict[str, Any] = json.loads(await peer(script, *arguments))
    return seen


async def test_qmi_turns_the_paddles(peer: Peer, start: Start, tmp_path: Path) -> None:
    """With the MOVE_COMPLETED of 20 bytes, which is the only form that QMI reads."""
    table = Alone()
    order = order_of(tmp_path, table)
    emulator = await start(
        InstrumentEmulator("judged", maker(order, long_completed=True), [order.terminal()])
    )
    seen = await seen_by(peer, "qmi_mpc320.py", tmp_path / "line")
    step_deg = 170 / 1370
    assert seen == {
        "identity": ["Thorlabs", "MPC320", 38_000_001],
        "velocity": 60,
        "home_deg": round(161 * step_deg, 3),
        "jog_deg": round(97 * step_deg, 3),
        "enabled": ["ENABLE", "ENABLE", "DISABLE"],
        "angles_deg": [round(1209 * step_deg, 2), round(81 * step_deg, 2), 0.0, 85.0],
        "jogged_deg": round(81 * step_deg, 2),
        "homed_deg": round(161 * step_deg, 2),
        "after_updates_deg": round(161 * step_deg, 2),
        "disabled": ["DISABLE", "DISABLE", "DISABLE"],
    }
    assert isinstance(emulator.model, Mpc320Model)
    assert emulator.model.enabled_mask == 0
    assert table.values["angle_deg.2"] == pytest.approx(161 * step_deg)


@pytest.mark.parametrize("loss", [0.0, 0.2])
async def test_qmi_drives_the_laser_though_a_fifth_of_all_frames_is_lost(
    peer: Peer, start: Start, tmp_path: Path, loss: float
) -> None:
    """QMI asks up to eleven times; all of them are lost with probability 2e-8."""
    table = Alone()
    emulator = await start(make_emulator("nkt_basik", order_of(tmp_path, table)))
    if loss:
        emulator.set_fault(Fault.LOST_FRAME, rate=loss)
    seen = await seen_by(peer, "qmi_nkt.py", tmp_path / "line", 40)
    assert 0 <= seen.pop("power_mw") <= 25.66
    assert seen.pop("refused").endswith("NACK response for set_register reg=0x22")
    assert seen == {
        "types": [0x33, 0x34],
        "differences": [],
        "last_mw": pytest.approx(13.10 + 39 * 0.64),
        "dbm": 14.09,
        "offset_pm": -12.3,
        "dark": [0, 0],
        "light": [1, 1],
        "temperature_c": 25.4,
        "supply_v": 12.05,
        "wavelength": 1_550_120.0,
        "user_area_bytes": 240,
    }
    assert isinstance(emulator.model, BasikModel)
    assert (emulator.model.power_set_units, emulator.model.emission) == (2566, False)


async def test_qmi_sets_the_amplifier(peer: Peer, start: Start, tmp_path: Path) -> None:
    emulator = await start(make_emulator("nkt_boostik", order_of(tmp_path, Alone())))
    seen = await seen_by(peer, "qmi_boostik.py", tmp_path / "line")
    assert 0 <= seen.pop("current_a") <= 1.25
    diode_c, ambient_c = seen.pop("temperatures_c")
    assert diode_c >= ambient_c == 24.0
    assert seen == {
        "information": "NKT Photonics BOOSTIK HPA SN H0042",
        "set_a": [1.25, 1.25],
        "refused_a": 1.25,
        "off": False,
        "on": [True, True],
        "input_mw": 10.0,
    }
    assert isinstance(emulator.model, BoostikModel)
    assert (emulator.model.current_set_ma, emulator.model.output) == (1250, True)
