"""QMI's driver of the PM100D, in a process of its own, drives the emulated meter over TCP."""

from __future__ import annotations

import json

import pytest

from bellwire.simulator_backend.devices.pm100_emulator import Pm100Model, responsivity_a_per_w
from tests.judges.conftest import Peer
from tests.judges.emulated import powered

pytestmark = pytest.mark.judge


async def test_qmi_reads_power_current_range_and_sensor(peer: Peer) -> None:
    async with powered("thorlabs_pm100", values={"power_w": 2e-4}) as (meter, port, _):
        seen = json.loads(await peer("qmi_pm100d.py", "127.0.0.1", port))
        assert isinstance(meter.model, Pm100Model)
        assert meter.model.wavelength_nm == 1310
        assert meter.model.auto_range
    assert seen["identity"] == ["Thorlabs", "PM100D", "P0012345", "2.8.0"]
    assert seen["sensor"][0] == "S154C"
    assert seen["sensor"][-1] & 1, "a power sensor"
    assert seen["wavelength_nm"] == 1310
    assert seen["power_w"] == pytest.approx(2e-4, rel=2e-3)
    assert seen["current_a"] == pytest.approx(2e-4 * responsivity_a_per_w(1310), rel=2e-3)
    assert seen["auto"] == [True, False, True]
    assert seen["range_w"] == [pytest.approx(5e-3 / responsivity_a_per_w(1310), rel=1e-6)] * 2
    assert "-222" in seen["refused"]
