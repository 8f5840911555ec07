"""Histories that once broke a rule, each with what was wrong.

Labs and faults stand in found/ as they were then drawn, so that they stay the same whatever is drawn today.
"""

import json
from pathlib import Path
from typing import Any

import pytest

from bellwire.labs import Lab, build_lab
from bellwire.labs.lab import file_of_document
from bellwire.soak import faults as kinds
from bellwire.soak.histories import Case, play, play_on

FOUND = {
    187: "a pair in store was given to a request that had just ended at the other end, which kept its qubit",
    618: "a birth was told after the end of what was born, and that was held in the ledger for ever",
    924: "two pairs of a batch grew too old in one step: the first one's end took the second one with it",
    952: "a half was swapped away whose partner never was; the far end of its chain held a qubit for nothing",
    994: "a memory forgot several pairs in store at once: the second one was given away after the first",
    1279: "the same as 952 over a ring",
    1299: "a node died within a fusion, which left a qubit in its memory all the same",
    1533: "the same as 952 after a crash",
    2094: "a request was ended by its duration and resumed from its suspension in one step",
    2332: "nodes at one place looked a million times in a second for a half that came a millisecond later",
    3409: "a memory that was reset in the middle of a measurement reported an outcome",
    3610: "a tail settled what a head with a new disk knows nothing of",
    6550: "a clock was behind when its node began anew: pairs of before looked younger, and were kept",
    9164: "a half that waited for its store to be filled kept the only memory of a node from every request",
}


def kept(seed: int) -> tuple[Lab, tuple[kinds.Fault, ...]]:
    """The lab and the faults of a history."""
    told = json.loads((Path(__file__).parent / "found" / f"{seed}.json").read_text(encoding="utf-8"))
    return build_lab(file_of_document(told["lab"])), tuple(_fault(one) for one in told["faults"])


def _fault(told: dict[str, Any]) -> kinds.Fault:
    fields = {name: tuple(value) if isinstance(value, list) else value for name, value in told.items()}
    fault: kinds.Fault = getattr(kinds, fields.pop("kind"))(**fields)
    return fault


@pytest.mark.parametrize("seed", FOUND)
def test_a_history_that_once_broke_a_rule_holds(seed: int) -> None:
    lab, faults = kept(seed)
    told = play_on(lab, faults, Case(seed=seed, profile="all"))
    assert told.rule is None, f"{FOUND[seed]}: {told.problem}"
    assert told.fired
    assert told.delivered


def test_a_pair_of_a_graph_state_whose_qubit_was_turned_lives() -> None:
    """Seed 1312 of today's draws: the rule on dead pairs once took it for a qubit alone."""
    told = play(Case(seed=1312, profile="all"))
    assert told.rule is None, told.problem
