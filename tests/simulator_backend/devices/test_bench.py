"""The bench: wiring, names, power."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bellwire.core.errors import LocalMisuse
from bellwire.simulator_backend.devices.bench import EmulatedBench, NodeWiring, TriggerWiring
from bellwire.simulator_backend.devices.faults import Fault, FaultSwitches
from bellwire.simulator_backend.devices.lines import TcpLine
from bellwire.simulator_backend.world import MemoryTruth, World


def bench(tmp_path: Path, **changes: Any) -> EmulatedBench:
    world = World([], [MemoryTruth(node="n", slots=1)], seed=1)
    node = NodeWiring(node="n", path=tmp_path / "n", slots=1, ports={})
    return EmulatedBench(world, **{"nodes": [node], **changes})


async def test_a_line_exists_while_its_device_has_power(tmp_path: Path) -> None:
    line = tmp_path / "n"
    emulated = bench(tmp_path)
    async with emulated:
        assert line.is_symlink()
        first = line.readlink()
        await emulated.stop("n")
        assert not line.is_symlink()
        await emulated.start("n")
        await emulated.start("n")  # a second start changes nothing
        assert line.is_char_device()
        assert first.name.isdigit()
    assert not line.is_symlink()


async def test_devices_have_names_of_their_own(tmp_path: Path) -> None:
    with pytest.raises(LocalMisuse, match="two emulated devices"):
        bench(tmp_path, triggers=[TriggerWiring(name="n")])
    with pytest.raises(LocalMisuse, match="no emulated device"):
        bench(tmp_path).set_fault("m", Fault.SILENT)


async def test_a_trigger_gets_a_free_port_when_it_asks_for_none(tmp_path: Path) -> None:
    async with bench(tmp_path, triggers=[TriggerWiring(name="t")]) as emulated:
        (line,) = emulated.triggers["t"].lines
        assert isinstance(line, TcpLine)
        assert line.port > 0


def test_a_fault_strikes_as_often_as_told() -> None:
    switches = FaultSwitches(seed=2)
    switches.set(Fault.SILENT, times=2)
    assert [switches.strikes(Fault.SILENT) for _ in range(4)] == [True, True, False, False]
    assert not switches.strikes(Fault.FIN)
    switches.set(Fault.BAD_CRC, rate=0.25)
    struck = sum(switches.strikes(Fault.BAD_CRC) for _ in range(4000))
    # 4000 draws, sigma 27; 5 sigma is a false alarm of 6e-7, and the seed is fixed.
    assert abs(struck - 1000) < 137
