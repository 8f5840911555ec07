"""What records mean to a link: ready or not and why, what it can do, and following a store that changes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import pytest

from bellwire.calibration.records import NS_PER_S, CalibrationRecord, Check, Outcome, Quantity
from bellwire.calibration.standing import Capabilities, age_in_words, capabilities, standing
from bellwire.calibration.store import CalibrationStore, store_in
from bellwire.calibration.stored_standing import StoredStanding
from tests.calibration.made_records import DAY_S, HOUR_S, NOW_NS, made, visible

HOM, OVEN = "hom_visibility", "oven"


def oven(record_id: str = "oven", outcome: Outcome = Outcome.PASSED, *, ago_h: float) -> CalibrationRecord:
    return made(record_id, outcome, procedure=OVEN, ago_s=ago_h * HOUR_S)


@pytest.mark.parametrize(
    ("records", "required", "reasons", "due_h"),
    [
        ([], [], [], None),
        ([visible("a", 0.6)], [], [], None),
        ([], [HOM], ["hom_visibility of alice-bob was never done"], None),
        ([visible("a", 0.9, ago_s=HOUR_S)], [HOM], [], 23.0),
        (
            [visible("a", 0.9, ago_s=4 * HOUR_S), visible("b", 0.62, ago_s=3 * HOUR_S)],
            [HOM],
            ["hom_visibility of alice-bob failed 3 h ago: visibility = 0.62 (>= 0.7, NOT MET)"],
            None,
        ),
        (
            [oven(ago_h=26), visible("a", 0.9, ago_s=HOUR_S)],
            [OVEN, HOM],
            ["oven of alice-bob is out of date since 2 h"],
            23.0,
        ),
        (
            [made("a", Outcome.ABORTED, ago_s=300, reason="interrupted")],
            [HOM],
            ["hom_visibility of alice-bob was never done; the last try was aborted 5 min ago: interrupted"],
            None,
        ),
        (
            [oven(ago_h=26), oven("b", Outcome.ABORTED, ago_h=0)],
            [OVEN],
            [
                "oven of alice-bob is out of date since 2 h; "
                "the last try was aborted under a minute ago: within its limits"
            ],
            None,
        ),
        ([oven(ago_h=1), oven("b", Outcome.ABORTED, ago_h=0)], [OVEN], [], 23.0),
        ([oven(ago_h=5), visible("a", 0.9), oven("b", ago_h=2)], [HOM, OVEN], [], 22.0),
        (
            [oven("a", Outcome.FAILED, ago_h=49)],
            [OVEN, HOM, OVEN],
            [
                "oven of alice-bob failed 2 d ago: within its limits",
                "hom_visibility of alice-bob was never done",
            ],
            None,
        ),
        ([made("a", valid_for_s=math.inf)], [HOM], [], None),
    ],
)
def test_a_link_is_ready_when_all_that_it_must_have_is_in_force(
    records: Sequence[CalibrationRecord], required: Sequence[str], reasons: list[str], due_h: float | None
) -> None:
    found = standing("alice-bob", records, required, NOW_NS)
    assert found.ready == (not reasons)
    assert list(found.reasons) == reasons
    due_ns = None if due_h is None else NOW_NS + round(due_h * HOUR_S * NS_PER_S)
    assert found.next_due_ns == due_ns


def test_what_else_went_wrong_stands_beside_the_missed_limit() -> None:
    check = Check("visibility", 0.6, 0.7)
    record = made("a", Outcome.FAILED, checks=(check,), reason=f"{check}; the shutter did not open again")
    (reason,) = standing("alice-bob", [record], [HOM], NOW_NS).reasons
    assert reason.endswith(": visibility = 0.6 (>= 0.7, NOT MET); the shutter did not open again")


@pytest.mark.parametrize(
    ("span_s", "words"),
    [
        (0, "under a minute"),
        (59, "under a minute"),
        (60, "1 min"),
        (3599, "59 min"),
        (3600, "1 h"),
        (86_399, "23 h"),
        (200_000, "2 d"),
        (-7200, "-2 h"),
    ],
)
def test_ages_are_rounded_down(span_s: int, words: str) -> None:
    assert age_in_words(span_s * NS_PER_S) == words


# --- what a link can do -------------------------------------------------------------------------------------


def rate(
    value: float, sigma: float = 1e-6, *, ago_s: float = 0.0, name: str = "herald_rate"
) -> CalibrationRecord:
    found = {"success_probability": Quantity(value, sigma), "rate": Quantity(10.0, 1.0, "1/s")}
    return made("r", procedure=name, ago_s=ago_s, quantities=found)


def quality(fidelity: float, sigma: float = 0.01, **more: Quantity) -> CalibrationRecord:
    found = {"fidelity": Quantity(fidelity, sigma)} | more
    return made("q", procedure="link_quality", ago_s=60, quantities=found)


def test_a_link_can_do_what_its_newest_record_says() -> None:
    none = Capabilities()
    assert capabilities([]) == capabilities([visible("a", 0.9)]) == none
    assert capabilities([rate(3e-5), quality(0.93)]) == Capabilities(
        Quantity(3e-5, 1e-6), Quantity(0.93, 0.01)
    )
    older = quality(0.93, success_probability=Quantity(2e-5, 1e-6))
    assert capabilities([rate(3e-5), older]).success_probability == Quantity(3e-5, 1e-6)
    assert capabilities([rate(3e-5, ago_s=600), older]).success_probability == Quantity(2e-5, 1e-6)
    other = rate(3e-5, name="something_else")
    assert capabilities([other]) == none


@pytest.mark.parametrize(
    ("value", "sigma"), [(0.0, 0.1), (-0.1, 0.1), (1.1, 0.1), (math.nan, 0.1), (0.5, 0.0), (0.5, math.nan)]
)
def test_a_probability_that_cannot_be_one_counts_as_not_said(value: float, sigma: float) -> None:
    assert capabilities([rate(value, sigma)]).success_probability is None


@pytest.mark.parametrize(
    ("value", "sigma", "taken"),
    [
        (1.01, 0.01, 1.0),
        (0.24, 0.01, 0.25),
        (1.05, 0.01, None),
        (0.1, 0.01, None),
        (math.nan, 0.01, None),
        (0.9, 0.0, None),
        (0.9, math.inf, None),
    ],
)
def test_a_fidelity_beyond_its_range_by_its_error_is_the_nearest_possible(
    value: float, sigma: float, taken: float | None
) -> None:
    found = capabilities([quality(value, sigma)]).fidelity
    assert (None if found is None else found.value) == taken


# --- following a store --------------------------------------------------------------------------------------


class Watched:
    """A standing that is asked for at a time of the test's choice."""

    def __init__(self, folder: Path) -> None:
        self.now_ns = NOW_NS
        self.store = store_in(folder)
        self.standing = StoredStanding(self.store, "alice-bob", [HOM], lambda: self.now_ns)

    def reasons(self) -> list[str]:
        found = self.standing()
        assert found.ready == (not [one for one in found.reasons if "cannot be read" not in one])
        return list(found.reasons)


@pytest.fixture
def watched(tmp_path: Path) -> Watched:
    return Watched(tmp_path)


def test_a_standing_follows_what_any_process_puts(watched: Watched) -> None:
    assert watched.reasons() == ["hom_visibility of alice-bob was never done"]
    elsewhere = CalibrationStore(watched.store.folder)
    elsewhere.put(visible("a", 0.9))
    assert watched.reasons() == []
    elsewhere.put(visible("b", 0.6))
    assert "NOT MET" in watched.reasons()[0]
    elsewhere.put(visible("c", 0.9))
    assert watched.reasons() == []
    watched.now_ns += (DAY_S + 60) * NS_PER_S
    assert watched.reasons() == ["hom_visibility of alice-bob is out of date since 1 min"]


def test_a_store_that_does_not_change_is_not_opened_again(watched: Watched) -> None:
    watched.store.put(visible("a", 0.9))
    for _ in range(5):
        watched.standing()
    assert watched.standing.reads == 1
    watched.store.put(visible("b", 0.9))
    watched.standing()
    assert watched.standing.reads == 2


def test_a_change_just_before_a_look_is_looked_at_again(watched: Watched) -> None:
    watched.store.put(visible("a", 0.9))
    watched.now_ns = watched.store.path.stat().st_mtime_ns + NS_PER_S
    for expected in (1, 2, 3):
        watched.standing()
        assert watched.standing.reads == expected
    watched.now_ns += 2 * NS_PER_S
    for _ in range(3):
        watched.standing()
    assert watched.standing.reads == 4


def test_a_store_that_breaks_leaves_in_force_what_was_read_until_it_is_out_of_date(watched: Watched) -> None:
    watched.store.put(visible("a", 0.9))
    assert watched.reasons() == []
    whole = watched.store.path.read_bytes()
    watched.store.path.write_bytes(b"rubbish " * 1000)
    (doubt,) = watched.reasons()
    assert "calibrations of alice-bob cannot be read" in doubt
    watched.now_ns += (DAY_S + 60) * NS_PER_S
    late, doubt = watched.reasons()
    assert "out of date" in late
    assert "cannot be read" in doubt
    watched.now_ns = NOW_NS
    watched.store.path.write_bytes(whole)
    assert watched.reasons() == []


def test_a_store_that_could_never_be_read_makes_nothing_ready(watched: Watched) -> None:
    watched.store.folder.mkdir()
    watched.store.path.write_bytes(b"rubbish " * 1000)
    found = watched.standing()
    assert not found.ready
    assert "cannot be read" in found.reasons[0]
