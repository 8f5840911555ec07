"""Planted one-line bugs: each line is still there, and some rule notices each bug.

All are played by `bellwire soak --mutants` and among the proofs; a few that are noticed at once, one for each
room, here too.
"""

import importlib.util
from pathlib import Path

import pytest

from bellwire.soak.mutants import MUTANTS, Mutant, plant_apart

AT_ONCE = {
    "a swap forgets its outcome": "frames",
    "a given up qubit stays in its memory": "slot and World",
    "a slot keeps its end": "ledger and World",
    "one end forgets which Bell state was heralded": "ledger and World",
    "a request is complete one pair early": "complete",
}


@pytest.mark.parametrize("mutant", MUTANTS, ids=[one.name for one in MUTANTS])
def test_the_line_of_each_bug_stands_once_in_its_module(mutant: Mutant) -> None:
    spec = importlib.util.find_spec(mutant.module)
    assert spec is not None
    assert spec.origin is not None
    assert Path(spec.origin).read_text(encoding="utf-8").count(mutant.right) == 1
    assert mutant.right != mutant.wrong


def test_there_are_enough_of_them_in_every_room() -> None:
    assert len(MUTANTS) >= 25
    assert {one.room for one in MUTANTS} >= {"gem", "swapping", "node", "link_layer", "transport"}


@pytest.mark.parametrize("name", AT_ONCE)
def test_a_bug_is_noticed_by_its_rule(name: str) -> None:
    number = next(place for place, one in enumerate(MUTANTS) if one.name == name)
    assert plant_apart(number)["rule"] == AT_ONCE[name]


@pytest.mark.slow
@pytest.mark.parametrize("number", range(len(MUTANTS)), ids=[one.name for one in MUTANTS])
def test_every_bug_is_noticed(number: int) -> None:
    assert plant_apart(number)["rule"] is not None
