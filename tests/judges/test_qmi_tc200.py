"""QMI's driver of the Thorlabs TC200, in a process of its own, drives the emulated oven."""

import json
from pathlib import Path

import pytest

from bellwire.simulator_backend.devices.emulators import EmulatorOrder
from bellwire.simulator_backend.devices.surroundings import Alone, Wiring
from bellwire.simulator_backend.devices.tc200_emulator import ROOM_C, Tc200Model, make
from tests.drivers.conftest import eventually
from tests.judges.conftest import Peer

pytestmark = pytest.mark.judge


async def test_qmi_sets_limits_gains_and_temperature_and_switches_the_heater(
    peer: Peer, tmp_path: Path
) -> None:
    table = Alone()
    oven = make(EmulatorOrder(name="oven", address=str(tmp_path / "oven"), wiring=Wiring(table)))
    await oven.start()
    try:
        seen = json.loads(await peer("qmi_tc200.py", tmp_path / "oven"))
        model = oven.model
        assert isinstance(model, Tc200Model)
        assert model.heating
        assert model.settings["tset"] == 48.6
        assert model.settings["pmax"] == 12.5
        assert model.settings["tmax"] == 80.0
        await eventually(lambda: table.values["temperature_c"] > ROOM_C + 1, "the warmth")
    finally:
        await oven.stop()
    assert seen == {
        "identity": ["THORLABS", "TC200", "2.1.0"],
        "cold_c": [25.0, ROOM_C],
        "set": [48.6, 12.5, 80.0, [100, 20, 3]],
        "refused": "Setpoint not accepted: 90.0",
        "status": ["DISABLED", "NORMAL", "PTC100", "CELSIUS", "NO_ALARM"],
        "enabled": True,
        "disabled": False,
    }
    assert [logged.request for logged in oven.log].count(b"ens") == 3
