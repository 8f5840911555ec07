"""A lab that is up: its agents own the instruments, and the same words reach them over the bus."""

from __future__ import annotations

from pathlib import Path

import pytest

from bellwire.api import ConfigError
from bellwire.api.asynchronous import Lab, open_lab
from bellwire.api.reach import ThroughAgents
from bellwire.runtime.store import AgentLock
from tests.runtime.desk_bench import FAST, LAB, desk_bench

SET = "temperature_set_c"


async def test_instruments_are_read_and_set_through_the_agent_that_owns_them(tmp_path: Path) -> None:
    async with desk_bench(tmp_path) as bench:
        reach = await ThroughAgents.open(bench.lab, bench.state, bus=FAST)
        try:
            lab = Lab(bench.lab, bench.state, reach, "ada")
            oven = lab["alice-oven"]
            assert await oven.write(SET, 41.0) == 41.0
            assert await bench.agents["alice"].driver("oven").read_temperature_set_c() == 41.0
            assert (await oven.reading(SET)).unit == "C"
            described = await oven.describe()
            assert described.who.held_by is None  # its lease ended with the write
            assert described[SET].value == 41.0
            with pytest.raises(ConfigError, match="above 200"):
                await oven.write(SET, 500.0)
            with pytest.raises(ConfigError, match="did you mean"):
                await oven.read("temperatur_set_c")
            with pytest.raises(ConfigError, match="agents of this lab bring its instruments up"):
                await lab.bring_up()
            async with lab.hold("alice-oven", "spare") as held:
                assert await held.write("alice-spare", SET, 30.0) == 30.0
                told = (await oven.describe()).who
                assert told.held_by == "ada, in Python"
            await oven.safe()
            assert await oven.read("heating") is False
        finally:
            await reach.close()


async def test_a_second_console_is_refused_while_one_is_open(tmp_path: Path) -> None:
    async with desk_bench(tmp_path) as bench:
        reach = await ThroughAgents.open(bench.lab, bench.state, bus=FAST)
        try:
            with pytest.raises(ConfigError, match="console already runs"):
                async with open_lab(bench.path, state=bench.state):
                    raise AssertionError
        finally:
            await reach.close()


async def test_a_lab_without_a_console_says_what_to_add_and_locks_nothing(
    tmp_path: Path,
) -> None:
    path = tmp_path / "lab.yaml"
    path.write_text("\n".join(one for one in LAB.splitlines() if not one.startswith("console")), "utf-8")
    with pytest.raises(ConfigError, match="names no console"):
        async with open_lab(path, state=tmp_path / "state"):
            raise AssertionError
    AgentLock(tmp_path / "state" / "agents", "console").release()  # and nothing is left locked
