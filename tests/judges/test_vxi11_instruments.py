"""python-vxi11, a client of another project in a process of its own, asks the emulated DG645 and PM100D."""

from __future__ import annotations

import json

import pytest

from tests.judges.conftest import Peer
from tests.judges.emulated import VXI11, powered

pytestmark = pytest.mark.judge


async def dialogue(peer: Peer, driver: str, *messages: str) -> list[str | None]:
    """The answers of an instrument, and at last its status byte."""
    async with powered(driver, VXI11, values={"power_w": 5e-5}) as (_, port, _):
        answers: list[str | None] = json.loads(await peer("vxi11_dialogue.py", port, *messages))
    return answers


async def test_python_vxi11_sets_delays_of_the_dg645_and_empties_its_error_queue(peer: Peer) -> None:
    assert await dialogue(
        peer, "srs_dg645", "*IDN?", "DLAY 2,0,1.5E-6", "DLAY?2", "LAMP 1,9", "LERR?", "LERR?", "*ESR?"
    ) == [
        "Stanford Research Systems,DG645,s/n001234,ver1.14.10E",
        None,
        "0,+0.000001500000",
        None,
        "10",
        "0",
        "144",  # power on, execution error
        "0",
    ]


async def test_python_vxi11_reads_the_pm100d_and_sees_its_error_in_the_status_byte(peer: Peer) -> None:
    *told, power_w, refused, status = await dialogue(
        peer,
        "thorlabs_pm100",
        "*IDN?",
        "SENS:AVER:COUN 100",
        "SENS:AVER:COUN?",
        "MEAS:POW?",
        "CORR:WAV 1",
    )
    assert told == ["Thorlabs,PM100D,P0012345,2.8.0", None, "100"]
    assert power_w is not None
    assert float(power_w) == pytest.approx(5e-5, rel=1e-3)
    assert refused is None
    assert status == "4"
