"""InstrumentKit, in a process of its own (it is under the AGPL), drives the emulated TC200, DG645 and CC1.

What it cannot: it takes the unit of a set temperature to be one letter, so that "48.6 Celsius", as another
project met it on hardware, is no number to it; and it reads the status byte of the TC200 as if it were
decimal, so that only its lowest bit is of use.
"""

import json
from pathlib import Path

import pytest

from bellwire.simulator_backend.devices.cc1_emulator import make as make_cc1
from bellwire.simulator_backend.devices.emulators import EmulatorOrder
from bellwire.simulator_backend.devices.surroundings import Alone, Wiring
from bellwire.simulator_backend.devices.tc200_emulator import ROOM_C, Tc200Model, make
from tests.judges.conftest import Peer
from tests.judges.emulated import powered

pytestmark = pytest.mark.judge


async def test_instrumentkit_limits_and_heats_the_oven(peer: Peer, tmp_path: Path) -> None:
    order = EmulatorOrder(name="oven", address=str(tmp_path / "oven"), wiring=Wiring(Alone()))
    oven = make(order)
    await oven.start()
    try:
        seen = json.loads(await peer("instrumentkit_tc200.py", tmp_path / "oven"))
        model = oven.model
        assert isinstance(model, Tc200Model)
        assert model.heating
        assert model.settings["tset"] == 48.6
    finally:
        await oven.stop()
    assert seen == {
        "name": "THORLABS TC200 VERSION 2.1.0",
        "temperature_c": ROOM_C,
        "set": [80.0, 12.5, [100, 20, 3], 100, 20, 3],
        "cold": False,
        "enabled": True,
        "disabled": False,
        "temperature_set_c": "could not convert string to float: '48.6elsius'",
    }
    assert [logged.request for logged in oven.log].count(b"ens") == 3


async def test_instrumentkit_sets_delays_levels_and_triggers(peer: Peer) -> None:
    async with powered("srs_dg645") as (_, port, _):
        seen = json.loads(await peer("instrumentkit_dg645.py", port))
    reference, delay_ps = zip(*(seen.pop(channel) for channel in ("A", "B")), strict=True)
    assert reference == ("T0", "A")
    assert delay_ps == pytest.approx((1.5e6, 250e3), abs=1e-3)
    assert seen == {
        "name": "Stanford Research Systems,DG645,s/n001234,ver1.14.10E",
        "AB": [2.5, -0.5, "negative"],
        "trigger": ["internal", 12_500.0, True, 2.0],
    }


@pytest.mark.parametrize(("firmware", "told"), [("2.010", [2, 10, 0]), ("2.001", [2, 1, 0])])
async def test_instrumentkit_counts_coincidences_in_both_dialects(
    peer: Peer, tmp_path: Path, firmware: str, told: list[int]
) -> None:
    """Independent clicks of 400 and 500 kHz for 0.2 s: coincidences within 5 ns are 2 * 5 ns * r1 * r2 * 0.2
    s = 400, less 0.25 % for clicks with two partners. Each count lies within 5 standard errors: false alarm
    2e-6 for the three of them.
    """
    light = Alone(rates_hz={"1": 400e3, "2": 500e3}, seed=11)
    order = EmulatorOrder(name="counter", address=str(tmp_path / "counter"), wiring=Wiring(light))
    counter = make_cc1(order, firmware=firmware)
    await counter.start()
    try:
        seen = json.loads(await peer("instrumentkit_cc1.py", tmp_path / "counter"))
    finally:
        await counter.stop()
    for found, expected in zip(seen.pop("counts"), (80e3, 100e3, 399.0), strict=True):
        assert abs(found - expected) < 5 * expected**0.5
    assert seen == {
        "firmware": told,
        "window_ns": 5.0,
        "delay_ns": 4.0,
        "dwell_s": 0.2,
        "gate": True,
        "subtract": True,
        "mode": "continuous",
        "continuous": "continuous",
    }
