"""A teaching laboratory's drivers, used on hardware there, drive the emulated Qubitekk QES2 and CC1.

No registry has them: BELLWIRE_QUBITEKK_DRIVERS names the folder of their sources, which GitHub has as
QUBITEKK_quantum_optics_drivers. The counter has the older firmware, whose answers theirs are written for.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from bellwire.simulator_backend.devices.cc1_emulator import FIRMWARE_OLD
from bellwire.simulator_backend.devices.cc1_emulator import make as make_counter
from bellwire.simulator_backend.devices.emulators import EmulatorOrder
from bellwire.simulator_backend.devices.qes2_emulator import FIRMWARE, LASER_ID, ROOM_C, setpoint_c
from bellwire.simulator_backend.devices.qes2_emulator import make as make_source
from bellwire.simulator_backend.devices.surroundings import Alone, Wiring
from tests.judges.conftest import Peer

SOURCES = os.environ.get("BELLWIRE_QUBITEKK_DRIVERS")

pytestmark = [
    pytest.mark.judge,
    pytest.mark.skipif(SOURCES is None, reason="BELLWIRE_QUBITEKK_DRIVERS names no drivers of Qubitekk"),
]


async def test_the_drivers_of_a_teaching_laboratory_light_the_source_and_count(
    peer: Peer, tmp_path: Path
) -> None:
    """Independent clicks of 300 and 400 kHz for 0.5 s: 5 ns on either side make 2 * 5 ns * r1 * r2 * 0.5 s =
    600 coincidences, less 0.2 % for clicks with two partners. Each count lies within 5 standard errors: false
    alarm 2e-6 for the three of them.
    """
    table = Alone(rates_hz={"1": 300e3, "2": 400e3}, seed=4)
    source = make_source(EmulatorOrder(name="source", address=str(tmp_path / "source"), wiring=Wiring(table)))
    counter = make_counter(
        EmulatorOrder(name="counter", address=str(tmp_path / "counter"), wiring=Wiring(table)),
        firmware=FIRMWARE_OLD,
    )
    await source.start()
    await counter.start()
    try:
        seen = json.loads(
            await peer("qubitekk_drivers.py", SOURCES, tmp_path / "source", tmp_path / "counter")
        )
    finally:
        await counter.stop()
        await source.stop()
    for found, expected in zip(seen.pop("counts"), (150e3, 200e3, 598.8), strict=True):
        assert abs(found - expected) < 5 * expected**0.5
    assert ROOM_C < seen.pop("temperature_c") < setpoint_c(12_000)
    assert seen == {
        "firmware": FIRMWARE,
        "laser": LASER_ID,
        "fault": 0,
        "dark": False,
        "lit": True,
        "turned_on": 1,
        "power": 4_000,
        "current_ma": 90.0,
        "setpoint": 12_000,
        "heats": "H",
        "dark_again": False,
        "counter": ["500 ms", "5 ns", "4 ns"],
    }
