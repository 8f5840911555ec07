"""What a fact costs: a number of steps that does not grow with the chain, and its time, reported."""

import sys
import time
from random import Random
from types import FrameType

import pytest

from bellwire.core.facts import Born, Fact, Swapped
from bellwire.core.ids import End
from bellwire.gem.fold import Fold
from tests.conftest import FiguresRecorder
from tests.gem.histories import interleaved, live, story_of


def half(place: int, side: int) -> Born:
    """One half of the pair between nodes `place` and `place + 1`."""
    return Born(
        end=End(f"l{place}", 1, 1, 0, side),
        slot=0,
        generation=1,
        request="r",
        tree=0,
        frame=2,
        signs=0,
        cost=(1, 2, 3),
        rates=(1, 1, 1),
        at_ns=place,
        sigma_ns=1,
    )


def swap_at(place: int) -> Swapped:
    """Node `place` joins its left and its right pair."""
    return Swapped(
        left=End(f"l{place - 1}", 1, 1, 0, 1),
        right=End(f"l{place}", 1, 1, 0, 0),
        result="ok",
        outcome=1,
        signs=0,
        cost=(1, 1, 1),
        at_ns=10_000,
    )


def lines_run(fold: Fold, author: str, fact: Fact) -> int:
    """How many lines of Python one application executes."""
    count = 0

    def local(frame: FrameType, event: str, argument: object) -> object:
        nonlocal count
        count += event == "line"
        return local

    before = sys.gettrace()
    sys.settrace(lambda frame, event, argument: local)
    try:
        fold.apply(author, 1, fact)
    finally:
        sys.settrace(before)
    return count


def test_a_swap_of_two_chains_of_a_thousand_pairs_runs_as_many_lines_as_one_of_two_pairs() -> None:
    def middle_swap(hops: int) -> int:
        fold = Fold(lambda link, side: f"n{int(link[1:]) + side}")
        for place in range(hops):
            fold.apply(f"n{place}", 1, half(place, 0))
            fold.apply(f"n{place + 1}", 1, half(place, 1))
        for place in range(1, hops):
            if place != hops // 2:
                fold.apply(f"n{place}", 1, swap_at(place))
        lines = lines_run(fold, f"n{hops // 2}", swap_at(hops // 2))
        chain = fold.chain(End("l0", 1, 1, 0, 0))
        assert chain is not None
        assert chain.hops == hops
        assert len(fold.ends) == 2
        return lines

    short = middle_swap(2)
    assert 10 < short < 60
    assert middle_swap(1000) == short


@pytest.mark.slow
def test_time_per_fact_is_reported(record_figures: FiguresRecorder) -> None:
    net = live(Random(1), 9, 100_000, clean=True)
    facts = list(interleaved(Random(2), story_of(net)))
    started = time.process_time()
    fold = Fold(net.owner_of)
    for author, incarnation, fact in facts:
        fold.apply(author, incarnation, fact)
    per_fact_us = (time.process_time() - started) / len(facts) * 1e6
    assert len(facts) >= 50_000
    record_figures(
        "gem_fold",
        "Global Entanglement Module: folding facts",
        [{"facts": len(facts), "microseconds per fact": round(per_fact_us, 2), "ends left": len(fold.ends)}],
    )
