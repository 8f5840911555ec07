"""The paper's two interfaces: one entry, and the list of what is available."""

import pytest

from bellwire.core.bell import COST_MAX, Walsh, to_walsh, werner
from bellwire.core.errors import LocalMisuse
from bellwire.core.ids import QubitId
from bellwire.gem.entries import available, entries_before, entry_of
from bellwire.gem.fold import Fold
from tests.gem.bench import born, end, line, released, swapped


def two_pairs() -> Fold:
    """a - b - c with one pair on each link."""
    fold = Fold(line("a", "b", "c").owner)
    for author, half in (
        ("a", born("l0", 0, at_ns=100)),
        ("b", born("l0", 1, at_ns=101)),
        ("b", born("l1", 0, at_ns=40)),
        ("c", born("l1", 1, at_ns=41)),
    ):
        fold.apply(author, 1, half)
    return fold


def test_an_entry_has_the_fields_of_the_paper() -> None:
    fold = two_pairs()
    assert entry_of(fold, end("l0", 1), 150) == {
        "end_nodes": ("a", "b"),
        "request": "r",
        "created_ns": 100,
        "age_ns": 50,
        "fidelity": 1.0,
        "usage": "r/0",
        "memories": (QubitId("a", 1, 0, 1), QubitId("b", 1, 1, 1)),
    }


def test_a_swap_is_about_the_two_entries_that_it_consumes_and_makes_one() -> None:
    fold = two_pairs()
    swap = swapped(end("l0", 1), end("l1", 0), outcome=1)
    assert [entry["end_nodes"] for entry in entries_before(fold, swap, 150)] == [("a", "b"), ("b", "c")]
    fold.apply("b", 1, swap)
    assert entries_before(fold, swap, 150) == ()
    (row,) = available(fold, 150)
    assert (row.end_nodes, row.created_ns, row.age_ns, row.hops) == (("a", "c"), 40, 110, 2)
    assert row.frame == 2 ^ 2 ^ 1
    assert row.usage == "r/0"


def test_a_row_waits_for_both_halves_and_a_delivered_half_takes_it_away() -> None:
    fold = Fold(line("a", "b").owner)
    fold.apply("b", 1, born("l0", 1))
    assert available(fold, 5) == []
    entry = entry_of(fold, end("l0", 1), 5)
    assert entry is not None
    assert entry["memories"] == (None, QubitId("b", 1, 1, 1))
    assert fold.far_owner(end("l0", 1)) == "a"
    fold.apply("a", 1, born("l0", 0))
    assert len(available(fold, 5)) == 1
    fold.apply("a", 1, released(end("l0", 0), "delivered"))
    assert available(fold, 30) == []
    # The other end node, which still has to deliver its half, sees with whom it shares it.
    assert fold.far_owner(end("l0", 1)) == "a"
    chain = fold.chain(end("l0", 1))
    assert chain is not None
    assert not chain.dead


def test_the_state_decays_from_each_birth_and_saturates_where_the_core_does() -> None:
    state = to_walsh(werner(0.9))
    halves = [born("l0", 0, at_ns=10), born("l0", 1, at_ns=20)]
    fold = Fold(line("a", "b").owner)
    for author, half in zip(("a", "b"), halves, strict=True):
        half = type(half)(
            **{name: getattr(half, name) for name in half.__struct_fields__ if name not in ("cost", "rates")},
            cost=state.cost,
            rates=(5, 7, 1 << 61),
        )
        fold.apply(author, 1, half)
    c1, c2, _ = state.cost
    assert fold.state(end("l0", 0), 30) == Walsh(state.signs, (c1 + 5 * 30, c2 + 7 * 30, COST_MAX))
    assert fold.state(end("l0", 0), 0) == state  # a clock that lags behind a birth is no reason to stop
    with pytest.raises(LocalMisuse):
        fold.state(end("l0", 0, attempt=9), 30)
