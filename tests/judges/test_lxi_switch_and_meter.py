"""lxi-tools, a SCPI client of another project, drives the emulated Polatis OXC and PM100D over sockets."""

from __future__ import annotations

import pytest

from tests.judges.emulated import powered
from tests.judges.test_lxi_tools import lxi

pytestmark = pytest.mark.judge


async def test_lxi_connects_fibres_and_looks_them_up() -> None:
    async with powered("polatis_oxc") as (_, port, table):
        assert await lxi(port, "*idn?") == "Polatis,I-OST-24x24-LU1-DMHNS,002414,6.5.2.18"
        assert await lxi(port, ":oxc:swit:conn:add (@1,2),(@41,42)") == ""
        assert await lxi(port, ":oxc:swit:conn:stat?") == "(@1,2),(@41,42)"
        assert await lxi(port, ":oxc:swit:conn:port? 2") == '"42"'
        assert (table.values["route.1"], table.values["route.2"]) == (17, 18)
        assert await lxi(port, ":oxc:swit:conn:sub (@1),(@41);*OPC?") == "1"
        assert await lxi(port, ":oxc:swit:conn:add (@1,2),(@41)") == ""
        assert (await lxi(port, ":syst:err?")).startswith('-226,"Lists not same length')
        assert await lxi(port, ":syst:err?") == '0,"No error"'
        assert table.values["route.1"] == 0


async def test_lxi_reads_a_power_and_finds_a_refusal() -> None:
    async with powered("thorlabs_pm100", values={"power_w": 2e-4}) as (_, port, _):
        assert await lxi(port, "*IDN?") == "Thorlabs,PM100D,P0012345,2.8.0"
        assert await lxi(port, "SENS:AVER:COUN 20") == ""
        assert await lxi(port, "CORR:WAV 1310") == ""
        assert float(await lxi(port, "CORR:WAV?")) == 1310
        assert float(await lxi(port, "MEAS:POW?")) == pytest.approx(2e-4, rel=1e-3)
        assert await lxi(port, "CORR:WAV 9000") == ""
        assert (await lxi(port, "SYST:ERR?")).startswith('-222,"Data out of range')
        assert await lxi(port, "SYST:ERR?") == '+0,"No error"'
