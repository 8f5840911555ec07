"""The DG645 driver of qcodes-contrib-drivers, in a process of its own, over a raw socket and over VXI-11."""

from __future__ import annotations

import json

import pytest

from bellwire.simulator_backend.devices.dg645_emulator import Dg645Model
from tests.judges.conftest import Peer
from tests.judges.emulated import SOCKET, VXI11, powered

pytestmark = pytest.mark.judge


@pytest.mark.parametrize("address", [SOCKET, VXI11])
async def test_qcodes_sets_every_group_of_commands_and_reads_it_back(peer: Peer, address: str) -> None:
    async with powered("srs_dg645", address) as (pulses, port, _):
        seen = json.loads(await peer("qcodes_dg645.py", address.format(port)))
        assert isinstance(pulses.model, Dg645Model)
        assert pulses.model.triggers == 1
    assert seen["identity"] == {
        "vendor": "Stanford Research Systems",
        "model": "DG645",
        "serial": "s/n001234",
        "firmware": "ver1.14.10E",
    }
    assert seen["read"] == {
        "trigger_rate": 2500.5,
        "delay_B": "4,+0.000001500000",  # LINK 3,4 was sent after it: B follows C, its delay stays
        "channel_link_C": 0,  # and C, for which that parameter asks, follows T0 as before
        "amp_out_AB": 3.3,
        "offset_out_CD": -1.5,
        "polarity_out_EF": 0,
        "prescale_GH": 7,
        "phase_GH": 3,
        "trig_holdoff": 1e-6,
        "trigger_level": 1.25,
        "burst_count": 12,
        "burst_delay": 2e-6,
        "burst_T0_config": 1,
        "trigger_source": "single",
    }
    assert seen["errors"] == "0"
    assert seen["after_reset"] == 1000
