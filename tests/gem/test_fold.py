"""The fold against its definition, in any order."""

import gc
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from bellwire.gem.fold import Fold
from bellwire.gem.records import ChainRecord, EndRecord
from tests.gem.histories import interleaved, live, story_of
from tests.gem.replicas import Tally, compare


def test_every_view_of_a_random_life_equals_the_walk_over_its_facts() -> None:
    tally = Tally()
    for seed in range(350):
        compare(Random(seed), tally, views=4)
    # 350 lives, 4 watermark vectors each, 2 orders each; nothing here may pass empty.
    assert tally.views >= 2000
    assert tally.rows >= 3000
    assert tally.dead >= 1000
    assert tally.swapped_at_both_ends >= 100
    assert tally.restarts >= 100


@given(st.randoms(use_true_random=False))
def test_no_life_that_hypothesis_can_find_makes_the_fold_differ_from_its_definition(random: Random) -> None:
    compare(random, Tally(), views=2)


def test_nothing_is_kept_when_everything_has_ended() -> None:
    ended = 0
    for seed in range(60):
        random = Random(seed)
        net = live(random, 5, 120, ring=seed % 2 == 0, clean=True, purifying=0.3 * (seed % 3))
        fold = Fold(net.owner_of)
        for author, incarnation, fact in interleaved(random, story_of(net)):
            fold.apply(author, incarnation, fact)
            ended += 1
        assert fold.ends == {}
        assert fold.refused == 0
    assert ended >= 3000


def test_ended_records_need_no_cycle_collector() -> None:
    net = live(Random(3), 6, 400, clean=True)
    facts = list(interleaved(Random(4), story_of(net)))
    fold = Fold(net.owner_of)
    gc.collect()
    gc.disable()
    try:
        before = _records()
        for author, incarnation, fact in facts:
            fold.apply(author, incarnation, fact)
        after = _records()
    finally:
        gc.enable()
    assert len(facts) >= 300
    assert after == before


def _records() -> int:
    return sum(1 for thing in gc.get_objects() if type(thing) in (EndRecord, ChainRecord))
