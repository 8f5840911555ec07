"""The maker's own client of the DG645 (srsinst.dg645), in a process of its own, drives the emulated one.

What it finds after *RST, and what it has refused, are what the maker's own tests expect of a real instrument.
"""

from __future__ import annotations

import json

import pytest

from bellwire.simulator_backend.devices.dg645_emulator import Dg645Model
from tests.judges.conftest import Peer
from tests.judges.emulated import powered

pytestmark = pytest.mark.judge

REFUSED = {
    "TSRC 7": 10,
    "TLVL 5.0": 10,
    "INHB 6": 10,
    "BURC 0": 10,
    "BURT 2": 10,
    "LAMP 1, 10.0": 10,
    "TRAT -1": 10,
    "*IDN": 113,
    "INSR 0": 113,
}


async def test_the_makers_client_finds_defaults_sets_steps_saves_and_is_refused(peer: Peer) -> None:
    async with powered("srs_dg645") as (pulses, port, _):
        seen = json.loads(await peer("srs_dg645.py", port, *REFUSED))
        assert isinstance(pulses.model, Dg645Model)
        assert pulses.model.triggers == 1
        assert list(pulses.model.memory.saved) == [1]
    assert seen["identity"] == ["DG645", "s/n001234", "ver1.14.10E"]
    assert seen["delays"] == {
        channel: [index, pytest.approx(delay_s, abs=1e-12)]
        for channel, index, delay_s in zip("ABCDEFGH", (0, 2, 0, 4, 0, 6, 0, 8), (0, 10e-9) * 4, strict=True)
    }
    assert seen["burst"] == [False, 5, pytest.approx(100e-6)]
    assert seen["levels"] == [[2.5, 0.0, True]] * 5
    assert seen["trigger"] == ["single shot", 1000.0, 1.0, 0.0, "triggers", False]
    assert seen["after_reset"] == "OK"
    assert seen["set"] == [
        [2, pytest.approx(499e-9)],
        [0, 1e-3],
        4,
        3.5,
        -1.0,
        False,
        True,
        "T0 on first",
        4,
        2,
        "AB and CD",
        1250.0,
    ]
    assert seen["errors_of_sets"] == []
    assert seen["recalled_hz"] == 1250.0
    assert seen["display"] == [11, 2]
    assert seen["refused"] == {command: [code] for command, code in REFUSED.items()}
    assert seen["command_error"] == [True, False]
    assert seen["complete"] == [1, 1]
    assert seen["status_byte"] == [True, True, False]
    assert seen["triggered"] == [True, False]
    assert seen["lock"] == [1, 1, 0]
    assert seen["timebase"] == "internal"
    assert seen["errors_left"] == []
