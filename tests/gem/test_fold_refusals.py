"""Facts that come too late, twice, or without what went before them."""

from bellwire.core.facts import Began
from bellwire.gem.fold import Fold
from tests.gem.bench import born, end, line, released, swapped


def abc() -> Fold:
    """A fold of the line a - b - c."""
    return Fold(line("a", "b", "c").owner)


def test_facts_of_an_older_incarnation_are_refused_and_counted() -> None:
    fold = abc()
    fold.apply("a", 2, Began(incarnation=2, survivors=(), at_ns=50))
    before = fold.digest()
    assert fold.apply("a", 1, born("l0", 0)) == ()
    assert fold.apply("a", 1, Began(incarnation=1, survivors=(), at_ns=0)) == ()
    assert fold.refused == 2
    assert fold.digest() == before
    assert fold.ends == {}


def test_an_end_is_born_once_and_ends_once() -> None:
    fold = abc()
    fold.apply("a", 1, born("l0", 0))
    assert fold.apply("a", 1, born("l0", 0)) == ()
    fold.apply("a", 1, released(end("l0", 0), "cutoff"))
    assert fold.apply("a", 1, released(end("l0", 0), "cutoff")) == ()
    assert fold.apply("a", 1, born("l0", 0)) == ()
    assert fold.refused == 3
    assert set(fold.ends) == {end("l0", 1)}


def test_a_new_incarnation_whose_began_was_skipped_ends_the_older_ends_all_the_same() -> None:
    fold = abc()
    fold.apply("a", 1, born("l0", 0))
    fold.apply("b", 1, born("l0", 1))
    touched = fold.apply("a", 2, born("l0", 0, attempt=2))
    assert set(touched) == {end("l0", 1), end("l0", 0, attempt=2)}
    assert not fold.living(end("l0", 0))
    chain = fold.chain(end("l0", 1))
    assert chain is not None
    assert chain.dead


def test_a_swap_of_an_end_that_had_ended_spends_the_other_one() -> None:
    for gone, kept, far in ((("l0", 1), ("l1", 0), ("l1", 1)), (("l1", 0), ("l0", 1), ("l0", 0))):
        fold = abc()
        for author, half in (
            ("a", born("l0", 0)),
            ("b", born("l0", 1)),
            ("b", born("l1", 0)),
            ("c", born("l1", 1)),
        ):
            fold.apply(author, 1, half)
        fold.apply("b", 1, released(end(*gone), "cutoff"))
        assert fold.apply("b", 1, swapped(end("l0", 1), end("l1", 0))) == (end(*far),)
        assert fold.refused == 1
        assert not fold.living(end(*kept))
        chain = fold.chain(end(*far))
        assert chain is not None
        assert chain.dead


def test_the_horizon_drops_spent_records_of_halves_that_never_came_and_nothing_else() -> None:
    fold = abc()
    fold.apply("a", 1, born("l0", 0, at_ns=10))
    fold.apply("a", 1, born("l0", 0, attempt=2, at_ns=10))
    fold.apply("b", 1, born("l1", 0, at_ns=10))
    fold.apply("a", 1, released(end("l0", 0), "cutoff"))
    fold.apply("b", 1, released(end("l1", 0), "delivered"))
    digest = fold.digest()
    assert fold.forget(10) == 0
    assert fold.forget(11) == 2
    assert set(fold.ends) == {end("l0", 0, attempt=2), end("l0", 1, attempt=2)}
    assert fold.digest() != digest  # the taken chain of a half that never came is gone
    assert fold.forget(10**12) == 0


def test_a_ring_of_swaps_leaves_nothing() -> None:
    fold = abc()
    for attempt in (1, 2):
        fold.apply("a", 1, born("l0", 0, attempt=attempt))
        fold.apply("b", 1, born("l0", 1, attempt=attempt))
    one, two = end("l0", 0), end("l0", 0, attempt=2)
    assert fold.apply("b", 1, swapped(one.partner, two.partner)) == (one, two)
    assert fold.far_end(one) == two
    assert fold.apply("a", 1, swapped(one, two)) == ()
    assert fold.ends == {}


def test_halves_that_name_different_frames_are_counted() -> None:
    fold = abc()
    fold.apply("a", 1, born("l0", 0, frame=2))
    fold.apply("b", 1, born("l0", 1, frame=3))
    assert fold.frames_differ == 1
    chain = fold.chain(end("l0", 0))
    assert chain is not None
    assert chain.dead
