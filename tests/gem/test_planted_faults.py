"""Would the comparison notice? Each planted fault changes one rule of the fold, and must be found.

Owns the list of faults. A fault that no life shows would mean that test_fold.py proves too little.
"""

import inspect
from random import Random
from types import ModuleType

import pytest

from bellwire.gem import fold as fold_module
from bellwire.gem.fold import Fold
from tests.gem.replicas import Tally, compare

FAULTS = {
    "a swap forgets its reported outcome": (
        "chain.frame ^= joined.frame ^ fact.outcome",
        "chain.frame ^= joined.frame",
    ),
    "a swap loses the cost of the right side": (
        "chain.cost = (a1 + b1 + c1, a2 + b2 + c2, a3 + b3 + c3)",
        "chain.cost = (a1 + c1, a2 + c2, a3 + c3)",
    ),
    "a swap loses the signs of the right side": (
        "chain.signs ^= joined.signs ^ fact.signs",
        "chain.signs ^= fact.signs",
    ),
    "a delivered half kills its chain": ('if fact.reason != "delivered":', "if True:"),
    "a released half does not kill its chain": ('if fact.reason != "delivered":', "if False:"),
    "a failed swap joins": ('if joined.dead or fact.result != "ok":', "if joined.dead:"),
    "a swap revives the dead right side": (
        'if joined.dead or fact.result != "ok":',
        'if fact.result != "ok":',
    ),
    "side 1 counts the state too": ("if end.side == 0:", "if True:"),
    "the second half counts the frame again": (
        "if type(opener) is not Born:\n            chain",
        "if True:\n            chain",
    ),
    "halves that name different frames live on": (
        "elif opener.frame != fact.frame:",
        "elif opener.frame != fact.frame and False:",
    ),
    "two requests may share a chain": (
        "elif chain.request != request:",
        "elif chain.request != request and False:",
    ),
    "the tree of the first label wins": ("elif tree < chain.tree:", "elif False:"),
    "a restart leaves halves open that were never told": (
        "if record.born is not None or existed:",
        "if record.born is not None:",
    ),
    "a half that comes after the restart it preceded stays open": (
        "if since_ns < self._latest_began_ns or run < self._latest_run:",
        "if False:",
    ),
    "runs of an incarnation that is over are judged by the clock": (
        "if end.side == 0 and started_in:",
        "if False:",
    ),
    "a clock that went back forgets the earlier beginning": (
        "at_ns = fact.at_ns if before is None else max(before.at_ns, fact.at_ns)",
        "at_ns = fact.at_ns",
    ),
    "a restart closes the survivors that it lists": (
        "if self._owner_of(end.link, end.side) != author or end in survivors:",
        "if self._owner_of(end.link, end.side) != author:",
    ),
    "a correction does not reach the chain": ("chain.frame ^= fact.pauli", "chain.frame ^= 0"),
    "an undated chain keeps its provisional birth": (
        "if not chain.dated or since_ns < chain.oldest_ns:",
        "if since_ns < chain.oldest_ns:",
    ),
    "a swap keeps the younger birth": (
        "if joined.oldest_ns < chain.oldest_ns:",
        "if joined.oldest_ns > chain.oldest_ns:",
    ),
    "a delivered half takes its waiting with it": (
        "chain.cost = (a1 + r1 * waited_ns, a2 + r2 * waited_ns, a3 + r3 * waited_ns)",
        "pass",
    ),
    "a swap forgets that one half was delivered": ("if joined.taken:", "if False:"),
    "a verdict does not reach the frame": ("chain.frame ^= fact.frame\n                chain", "chain"),
    "a verdict does not reach the signs": (
        "chain.signs ^= fact.signs\n                a1, a2, a3",
        "a1, a2, a3",
    ),
    "a verdict does not reach the costs": (
        "chain.cost = (a1 + b1, a2 + b2, a3 + b3)\n            if not chain.dated or fact",
        "pass\n            if not chain.dated or fact",
    ),
    "a verdict tells no age": ("if not chain.dated or fact.oldest_ns < chain.oldest_ns:", "if False:"),
    "a round that did not pass leaves its pair alive": (
        "else:\n            chain.dead = True\n        if type",
        "if type",
    ),
    "a sacrificed end leaves its pair alive": (
        "record.chain.unannounced = True\n        return self._kill(record)\n\n    def _judged",
        "return self._end(record)\n\n    def _judged",
    ),
    "rounds of a verdict are forgotten": ("self.note_rounds(fact.end, fact.far, fact.rounds)", "pass"),
}


def planted(fault: str) -> type[Fold]:
    """The Fold class of a copy of the module with one rule changed, everywhere it stands."""
    right, wrong = FAULTS[fault]
    source = inspect.getsource(fold_module)
    if right not in source:
        raise LookupError(f"the line of {fault!r} is gone from fold.py: write the fault anew")
    module = ModuleType("planted_fold")
    exec(compile(source.replace(right, wrong), "planted_fold", "exec"), module.__dict__)
    made = module.__dict__["Fold"]
    assert isinstance(made, type)
    return made


@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_is_found(fault: str) -> None:
    wrong = planted(fault)
    with pytest.raises(AssertionError):
        _compare_many(wrong)


def _compare_many(make: type[Fold]) -> None:
    for seed in range(200):
        compare(Random(seed), Tally(), views=2, make=make)
