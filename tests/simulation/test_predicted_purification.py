"""What plans with rounds between distant nodes promise, and what machines deliver in virtual time.

Rates are compared within 15 %: the forecast's own approximations are worth up to 7 % on such lines (longer
runs of one seed: 3 to 7 % low), and counts of 180 to 500 pairs of one fixed seed have standard errors of 4 to
8 %. Mean fidelities are compared within 0.002, the standard error of a mean being below 0.001; where links
have rounds of their own besides, within 0.005, because their forecast is 0.004 low with three lanes. With
fixed seeds nothing here fails by chance.
"""

import pytest

from bellwire.core.plans import RequestPlan
from bellwire.labs import Lab
from bellwire.planner.distant_rounds import rounds_named
from bellwire.planner.plans import compute_plan, predict
from tests.simulation.test_distant_purification import ROUTE
from tests.simulation.test_link_purification import NOISY, Seen, lab_of, run

RATE_TOLERANCE = 0.15
FIDELITY_TOLERANCE = 0.002


def delivered(seen: Seen) -> list[float]:
    delivery = seen.machine("ann").delivery
    assert delivery is not None
    return [record.fidelity for record in delivery.records("r")]


def agrees(lab: Lab, seen: Seen, seconds: float, fidelity_within: float = FIDELITY_TOLERANCE) -> None:
    found = delivered(seen)
    expected = predict(lab.network, lab.requests[0])
    assert not isinstance(expected, str)
    assert len(found) / seconds == pytest.approx(expected.rate_hz, rel=RATE_TOLERANCE)
    assert sum(found) / len(found) == pytest.approx(expected.fidelity, abs=fidelity_within)


@pytest.mark.parametrize(
    ("words", "seconds"), [(None, 0.3), ("1:1", 0.7), ("2:1", 0.8), ("2:2p", 1.2), ("1:1,2:1p", 1.0)]
)
def test_machines_deliver_the_rate_and_the_fidelity_that_a_plan_with_rounds_promises(
    words: str | None, seconds: float
) -> None:
    lab = lab_of(NOISY, lanes=4, nodes=ROUTE, purification=words, mode="fixed_tree")
    agrees(lab, run(lab, 3, seconds, watched=False), seconds)


@pytest.mark.parametrize(
    ("lanes", "words", "link_rounds", "seconds"), [(2, None, 1, 0.8), (3, "2:1", 1, 1.5), (3, "1:1", 1, 1.5)]
)
def test_rounds_of_links_under_a_tree_make_what_they_promise(
    lanes: int, words: str | None, link_rounds: int, seconds: float
) -> None:
    """Under `fixed_tree` links were once slowed to the rate of their purified pairs: the first of these lines
    made no pair at all, for the lane that attempted was the one that held the kept pair."""
    lab = lab_of(
        NOISY,
        lanes=lanes,
        nodes=ROUTE,
        purification=words,
        link_purification=link_rounds,
        mode="fixed_tree",
    )
    agrees(lab, run(lab, 3, seconds, watched=False), seconds, 0.005)


@pytest.mark.parametrize(("lanes", "words", "link_rounds"), [(2, "2:1", 1), (2, "1:1", 1), (3, "2:1", 2)])
def test_rounds_above_and_at_links_that_would_stop_for_want_of_lanes_are_refused(
    lanes: int, words: str, link_rounds: int
) -> None:
    """Run all the same, these made one pair of each link and then nothing: a kept pair of the upper rounds
    left too few lanes for the lower ones."""
    lab = lab_of(
        NOISY,
        lanes=lanes,
        nodes=ROUTE,
        purification=words,
        link_purification=link_rounds,
        mode="fixed_tree",
    )
    answer = compute_plan(lab.network, lab.requests[0], 1)
    assert answer == (
        f"ann-rex holds {lanes} pairs at a time, and {words} beside rounds of links needs {lanes + 1}"
    )


def test_rounds_that_were_ignored_would_be_far_off() -> None:
    """The same comparison against figures without rounds misses by more than a factor of two."""
    plain = lab_of(NOISY, lanes=4, nodes=ROUTE, mode="fixed_tree")
    expected = predict(plain.network, plain.requests[0])
    assert not isinstance(expected, str)
    for words in ("1:1", "2:1"):
        lab = lab_of(NOISY, lanes=4, nodes=ROUTE, purification=words, mode="fixed_tree")
        counted = predict(lab.network, lab.requests[0])
        assert not isinstance(counted, str)
        assert expected.rate_hz > 2 * counted.rate_hz
        assert counted.fidelity > expected.fidelity + 5 * FIDELITY_TOLERANCE


def test_automatic_rounds_keep_the_threshold_that_pairs_without_them_miss() -> None:
    threshold = 0.77
    lab = lab_of(
        NOISY,
        lanes=4,
        nodes=ROUTE,
        purification="automatic",
        mode="fixed_tree",
        fidelity_min=threshold,
    )
    plan = compute_plan(lab.network, lab.requests[0], 1)
    assert isinstance(plan, RequestPlan)
    assert rounds_named(plan) == "2:1"
    seen = run(lab, 3, 0.8, watched=False)
    agrees(lab, seen, 0.8)
    found = delivered(seen)
    assert sum(found) / len(found) > threshold
    plain = predict(lab.network, lab_of(NOISY, lanes=4, nodes=ROUTE).requests[0])
    assert not isinstance(plain, str)
    assert plain.fidelity < threshold - 0.02
