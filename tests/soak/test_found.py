"""Histories that once broke a rule, each with what was wrong."""

import pytest

from bellwire.soak.histories import Case, play

FOUND = {
    952: "a half was swapped away whose partner never was; the far end of its chain held a qubit for nothing",
    1279: "the same over a ring",
    1533: "the same after a crash",
    2094: "a request was ended by its duration and resumed from its suspension in one step",
    3409: "a memory that was reset in the middle of a measurement reported an outcome",
    3610: "a tail settled what a head with a new disk knows nothing of",
}


@pytest.mark.parametrize("seed", FOUND)
def test_a_history_that_once_broke_a_rule_holds(seed: int) -> None:
    told = play(Case(seed=seed, profile="all"))
    assert told.rule is None, f"{FOUND[seed]}: {told.problem}"
