"""Pairs in store are claimed by a fact: whatever order facts come in, a pair serves one request or nobody."""

from random import Random

import pytest

from bellwire.core.facts import Born, Claimed, Fact, Swapped
from bellwire.core.ids import End, NodeId
from bellwire.core.plans import store_request
from bellwire.gem.fold import Fold
from bellwire.gem.ledger import usage_of
from tests.gem.histories import interleaved

STORE = store_request("n1", "n3")
FREE = (0, 0, 0)
OWNERS = {"l0": ("n0", "n1"), "l1": ("n1", "n2"), "l2": ("n2", "n3"), "l3": ("n3", "n4")}
ORDERS = 300
"""Random orders of each history; among the few thousand that there are, a rule that depends on the order of
two facts shows in about every second one."""


def end(link: str, side: int) -> End:
    return End(link, 1, 1, 0, side)


def born(link: str, side: int, request: str, tree: int = 0) -> Born:
    return Born(
        end=end(link, side), slot=0, generation=1, request=request, tree=tree, frame=0, signs=0, cost=FREE,
        rates=FREE, at_ns=10 * (1 + int(link[1])), sigma_ns=0,
    )  # fmt: skip


def swapped(left: str, right: str) -> Swapped:
    return Swapped(
        left=end(left, 1), right=end(right, 0), result="ok", outcome=0, signs=0, cost=FREE, at_ns=100
    )


def history(claims: dict[NodeId, str], *, joined: bool = True) -> dict[NodeId, list[tuple[int, Fact]]]:
    """A pair in store from n1 to n3; n1 swaps it with a link pair of request r (tree 2) from n0, n3 with one
    to n4. claims: what n1 writes, by the request."""
    told: dict[NodeId, list[Fact]] = {
        "n0": [born("l0", 0, "r", 2)],
        "n1": [born("l0", 1, "r", 2), born("l1", 0, STORE)],
        "n2": [born("l1", 1, STORE), born("l2", 0, STORE), swapped("l1", "l2")],
        "n3": [born("l2", 1, STORE), born("l3", 0, "r", 2)],
        "n4": [born("l3", 1, "r", 2)],
    }
    told["n1"] += [Claimed(end=end("l1", 0), request=name, tree=2, at_ns=50) for name in claims.values()]
    if joined:
        told["n1"].append(swapped("l0", "l1"))
        told["n3"].append(swapped("l2", "l3"))
    return {author: [(1, fact) for fact in facts] for author, facts in told.items()}


def folds(story: dict[NodeId, list[tuple[int, Fact]]]) -> list[Fold]:
    found: list[Fold] = []
    for seed in range(ORDERS):
        fold = Fold(lambda link, side: OWNERS[link][side])
        for author, incarnation, fact in interleaved(Random(seed), story):
            fold.apply(author, incarnation, fact)
        found.append(fold)
    return found


def test_a_claimed_pair_is_its_requests_own_in_every_order_of_facts() -> None:
    seen = folds(history({"n1": "r"}))
    assert len({fold.digest() for fold in seen}) == 1
    chain = seen[0].chain(end("l0", 0))
    assert chain is not None
    assert not chain.dead
    assert usage_of(chain) == "r/2"
    assert chain.claimed_ns == 50
    assert chain.oldest_ns == 10
    assert chain.hops == 4


def test_a_pair_in_store_joins_a_request_also_without_a_claim() -> None:
    seen = folds(history({}))
    assert len({fold.digest() for fold in seen}) == 1
    chain = seen[0].chain(end("l0", 0))
    assert chain is not None
    assert (chain.dead, usage_of(chain), chain.claimed_ns) == (False, "r/2", 0)


@pytest.mark.parametrize("joined", [False, True])
def test_a_pair_that_was_claimed_for_another_request_serves_nobody_with_this_one(joined: bool) -> None:
    for fold in folds(history({"n1": "other"}, joined=joined)):
        here = fold.chain(end("l0", 0))
        assert here is not None
        assert here.dead == joined
        if not joined:
            stored = fold.chain(end("l1", 0))
            assert stored is not None
            assert usage_of(stored) == "other/2"
            assert not stored.dead


def test_two_claims_of_different_requests_kill_the_pair() -> None:
    for fold in folds(history({"n1": "r", "n2": "other"}, joined=False)):
        chain = fold.chain(end("l1", 0))
        assert chain is not None
        assert chain.dead


def test_an_unclaimed_pair_stands_under_its_store_and_a_claim_wakes_both_ends() -> None:
    fold = Fold(lambda link, side: OWNERS[link][side])
    for author, facts in history({}, joined=False).items():
        for incarnation, fact in facts:
            fold.apply(author, incarnation, fact)
    chain = fold.chain(end("l1", 0))
    assert chain is not None
    assert usage_of(chain) == f"{STORE}/0"
    claim = Claimed(end=end("l1", 0), request="r", tree=2, at_ns=50)
    assert set(fold.apply("n1", 1, claim)) == {end("l1", 0), end("l2", 1)}
    assert usage_of(chain) == "r/2"
