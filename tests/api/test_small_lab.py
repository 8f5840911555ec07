"""A lab that is connected directly: names, leases, read-back, records, refusals, and who else owns it."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from bellwire.api import ConfigError, Lab, asynchronous, open_lab
from bellwire.calibration.procedure import Finding
from bellwire.calibration.procedures.darks import Darks
from bellwire.calibration.records import Outcome
from bellwire.calibration.work import Work
from bellwire.runtime.store import AgentLock
from bellwire.testing.emulator_thread import LoopThread
from tests.api.small_lab import PLATE, SmallLab, TurnPlate, small_lab


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SmallLab]:
    with LoopThread() as thread, small_lab(thread, tmp_path_factory.mktemp("small")) as made:
        yield made


@pytest.fixture
def lab(small: SmallLab) -> Iterator[Lab]:
    with open_lab(small.path, state=small.state, direct=True, operator="ada", quiet=True) as opened:
        yield opened


def plate_deg(lab: Lab) -> float:
    return float(lab["bob-plate"].read(PLATE))


def test_connecting_changes_nothing_and_shows_what_there_is(small: SmallLab) -> None:
    def changes() -> list[int]:
        names = ("alice-plate", "bob-plate", "alice-pump", "alice-oven")
        return [len(small.emulated.instrument(name).changes) for name in names]

    before = changes()
    with open_lab(small.path, state=small.state, direct=True, quiet=True) as lab:
        assert list(lab.devices) == [one.full_name for one in small.emulated.lab.equipment]
        assert lab.links == ("alice-bob",)
        assert "alice-oven     thorlabs_tc200" in repr(lab.devices)
    assert changes() == before


def test_a_write_is_read_back_and_its_lease_ends_with_it(lab: Lab) -> None:
    assert lab["bob-plate"].write(PLATE, 11.25) == pytest.approx(11.25, abs=0.1)
    assert plate_deg(lab) == pytest.approx(11.25, abs=0.1)
    assert lab["bob-plate"].describe().who.held_by is None
    lab["bob-plate"].write(PLATE, 0.0)


def test_a_description_is_a_table_of_all_parameters_with_their_limits(lab: Lab) -> None:
    described = lab["oven"].describe()
    assert described["temperature_c"].unit == "C"
    text = repr(described)
    assert text.startswith("alice-oven: TC200")
    assert "20 to 200" in text
    assert "read only" in text


@pytest.mark.parametrize(
    ("typed", "complaint"),
    [
        ("bob-plaet", 'no equipment is called "bob-plaet" .did you mean "bob-plate"'),
        ("plate", '"plate" is alice-plate and bob-plate: give the whole name'),
    ],
)
def test_a_name_that_is_no_instrument_or_several_is_refused(lab: Lab, typed: str, complaint: str) -> None:
    with pytest.raises(ConfigError, match=complaint):
        lab[typed]


def test_values_and_parameters_that_cannot_be_are_refused_in_one_sentence(lab: Lab) -> None:
    with pytest.raises(ConfigError, match=r"temperature_set_c = 500 C is above 200 C"):
        lab["oven"].write("temperature_set_c", 500.0)
    with pytest.raises(ConfigError, match="did you mean"):
        lab["oven"].read("temperatur_c")
    with pytest.raises(ConfigError, match="bob-plate is no time tagger"):
        lab.count("bob-plate", 0.01)


def test_held_instruments_are_refused_to_others_by_the_name_of_the_holder(lab: Lab) -> None:
    with lab.hold("bob-plate", "alice-oven") as held:
        assert held.write("bob-plate", PLATE, 5.0) == pytest.approx(5.0, abs=0.1)
        record = lab.link().run(TurnPlate()).record
        assert (record.outcome, record.applied) == (Outcome.ABORTED, {})
        assert "bob-plate is held by ada, in Python" in record.reason
        held.write("bob-plate", PLATE, 0.0)
    assert lab.link().run(TurnPlate()).passed


def test_counts_and_tags_of_a_tagger_in_the_dark(lab: Lab) -> None:
    """Without light there is at most noise: windows and coverage are what is tested."""
    counts = lab.count("alice-tagger", 0.05)
    assert counts.valid
    assert counts.window_s >= 0.05
    block = lab.tags("alice-tagger", 0.05)
    assert block.stop_ps - block.start_ps >= 5 * 10**10
    together = lab.tags_together(["alice-tagger", "bob-tagger"], 0.05)
    assert {name: one.stop_ps - one.start_ps for name, one in together.items()} == {
        "alice-tagger": 5 * 10**10,
        "bob-tagger": 5 * 10**10,
    }


def test_tags_are_recorded_into_a_file_that_says_where_they_come_from(lab: Lab, tmp_path: Path) -> None:
    from bellwire.api import open_tags

    written = lab.record("alice-tagger", 0.05, tmp_path / "dark.parquet", comment="no light")
    described = open_tags(written.path).description
    assert described.device is not None
    assert described.device.startswith("alice-tagger")
    assert described.comment == "no light"
    with pytest.raises(ConfigError, match="no format has this suffix"):
        lab.record("alice-tagger", 0.05, tmp_path / "dark.txt")


# ---- procedures


def test_a_procedure_of_ones_own_is_recorded_and_what_it_moved_goes_back(lab: Lab) -> None:
    stood_deg = plate_deg(lab)
    found = lab.link().run(TurnPlate(turn_deg=20.0))
    assert found.passed
    assert found["turned_deg"].value == pytest.approx(20.0, abs=0.2)
    assert plate_deg(lab) == pytest.approx(stood_deg, abs=0.1)
    assert found.record.operator == "ada"
    assert lab.link().history("turn_plate")[0].record == found.record
    text = repr(found)
    assert text.startswith("turn_plate of alice-bob passed: within its limits\n")
    assert ">= 0" in text


def test_a_procedure_outside_its_limits_is_returned_not_raised_and_shows_why(lab: Lab) -> None:
    found = lab.link().run(TurnPlate(turn_deg=20.0, least_deg=25.0))
    assert not found.passed
    assert not found.in_force
    assert "NOT MET" in repr(found)
    assert "NOT MET" in repr(lab.link().calibrations())
    with pytest.raises(ConfigError, match='no quantity "turned"'):
        found["turned"]
    with pytest.raises(ConfigError, match="no picture"):
        lab.link().plot(found)


def test_ctrl_c_in_a_procedure_brings_the_instrument_back_before_the_prompt_returns(lab: Lab) -> None:
    @dataclass(frozen=True)
    class Interrupted(TurnPlate):
        name: str = "interrupted"

        async def run(self, work: Work) -> Finding:
            await super().run(work)
            os.kill(os.getpid(), signal.SIGINT)
            await asyncio.Event().wait()
            raise AssertionError

    stood_deg = plate_deg(lab)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            lab.link().run(Interrupted())
    finally:
        signal.signal(signal.SIGINT, before)
    assert plate_deg(lab) == pytest.approx(stood_deg, abs=0.1)
    (last, *_) = lab.link().history("interrupted")
    assert (last.record.outcome, last.record.reason) == (Outcome.ABORTED, "interrupted")


def test_a_bug_in_a_procedure_brings_back_what_it_moved_and_keeps_its_traceback(lab: Lab) -> None:
    @dataclass(frozen=True)
    class Buggy(TurnPlate):
        name: str = "buggy"

        async def run(self, work: Work) -> Finding:
            await super().run(work)
            raise ZeroDivisionError

    stood_deg = plate_deg(lab)
    with pytest.raises(ZeroDivisionError):
        lab.link().run(Buggy())
    assert plate_deg(lab) == pytest.approx(stood_deg, abs=0.1)


def test_the_lab_itself_is_refused_within_a_procedure_which_would_wait_for_ever(lab: Lab) -> None:
    @dataclass(frozen=True)
    class Inward(TurnPlate):
        name: str = "inward"

        async def run(self, work: Work) -> Finding:
            lab.count("alice-tagger", 0.1)
            raise AssertionError

    with pytest.raises(ConfigError, match="in a procedure, use `work`"):
        lab.link().run(Inward())


def test_procedures_of_bellwire_take_other_settings_and_say_which_they_have(lab: Lab) -> None:
    link = lab.link("alice-bob")
    darks = link.calibrate("darks", window_s=0.05, windows=1)
    assert darks.passed, darks.record.reason
    assert link.run(Darks(window_s=0.05, windows=1)).passed
    assert link.standing().ready
    for settings, complaint in (
        ({"window_sec": 1.0}, 'no setting "window_sec" .did you mean "window_s"'),
        ({"windows": 1.5}, "positive whole number, not 1.5"),
        ({"window_s": 0.0}, "positive number, not 0.0"),
    ):
        with pytest.raises(ConfigError, match=complaint):
            link.calibrate("darks", override=(), seed=1, **settings)
    with pytest.raises(ConfigError, match='did you mean "darks"'):
        link.calibrate("dark")
    with pytest.raises(ConfigError, match="no procedure is called"):
        link.calibrate("darks", override=["clok"])


def test_what_needs_another_result_is_stopped_at_its_gate_and_the_record_says_so(lab: Lab) -> None:
    found = lab.link().calibrate("window")
    assert found.record.outcome is Outcome.ABORTED
    assert "needs clock" in found.record.reason


def test_many_procedures_run_in_order_and_those_behind_a_closed_gate_are_left_out(lab: Lab) -> None:
    link = lab.link()
    link.calibrate("darks", window_s=0.05, windows=1)
    found = link.calibrate_all(["window", "darks"], due=True)
    assert [one.procedure for one in found] == ["window"]
    assert not found.passed
    with pytest.raises(ConfigError, match="bell_test of alice-bob: "):
        link.calibrate_all(["bell_test"])


def test_what_is_no_procedure_or_takes_the_name_of_one_is_refused(lab: Lab) -> None:
    link = lab.link()
    with pytest.raises(ConfigError, match=r"is a class: give an instance of it, TurnPlate\(\)"):
        link.run(TurnPlate)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="has no name, meaning"):
        link.run(object())  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="call yours otherwise"):
        link.run(TurnPlate(name="darks"))


def test_links_that_are_unknown_are_refused_with_the_nearest_name(lab: Lab) -> None:
    with pytest.raises(ConfigError, match='did you mean "alice-bob"'):
        lab.link("alice-bop")


# ---- owners


def test_instruments_of_another_process_are_refused_and_nobody_else_can_take_those_that_are_open(
    lab: Lab, small: SmallLab
) -> None:
    with pytest.raises(ConfigError, match=r"alice-tagger.* belong to another process"):
        open_lab(small.path, state=small.state, direct=True)
    with pytest.raises(ConfigError, match="alice already runs"):
        AgentLock(small.state / "agents", "alice")  # what an agent does first


def test_one_instrument_alone_leaves_those_of_other_owners_to_their_agents(small: SmallLab) -> None:
    lock = AgentLock(small.state / "agents", "alice")
    try:
        with open_lab(small.path, state=small.state, direct=True, only=["bob-plate"]) as lab:
            assert list(lab.devices) == ["bob-plate"]
            lab["plate"].write(PLATE, 10.0)
            assert lab["plate"].read(PLATE) == pytest.approx(10.0, abs=0.1)
    finally:
        lock.release()
    with pytest.raises(ConfigError, match='no equipment is called "plates"'):
        open_lab(small.path, state=small.state, direct=True, only=["plates"])
    with pytest.raises(ConfigError, match="agents own all of their instruments"):
        open_lab(small.path, state=small.state, only=["bob-plate"])


def test_a_closed_lab_says_so(small: SmallLab) -> None:
    lab = open_lab(small.path, state=small.state, direct=True)
    lab.close()
    lab.close()
    with pytest.raises(ConfigError, match="this lab is closed"):
        lab["bob-plate"].read(PLATE)


def test_bringing_up_asserts_the_file_and_switches_the_source_on_until_the_lab_is_closed(
    small: SmallLab,
) -> None:
    with open_lab(small.path, state=small.state, direct=True, quiet=True) as lab:
        lab.bring_up()
        assert lab["oven"].read("temperature_max_c") == 90.0
        assert lab["pump"].read("emission") is True
    with open_lab(small.path, state=small.state, direct=True, quiet=True) as lab:
        assert lab["pump"].read("emission") is False


async def test_everything_can_be_awaited_under_the_same_names(small: SmallLab) -> None:
    async with asynchronous.open_lab(small.path, state=small.state, direct=True) as lab:
        await lab["bob-plate"].write(PLATE, 10.0)
        assert await lab["bob-plate"].read(PLATE) == pytest.approx(10.0, abs=0.1)
        assert (await lab.link().run(TurnPlate())).passed
        assert (await lab.count("bob-tagger", 0.05)).valid
        assert "alice-oven" in await lab.look()
