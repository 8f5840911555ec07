"""Replicas under comparison: feed a fold in some order, read off what the oracle says too.

Owns the comparison. Refuses expectations: what is right comes from the oracle.
"""

from random import Random

from bellwire.core.facts import Fact, Swapped
from bellwire.core.ids import End, NodeId
from bellwire.gem.fold import Fold
from bellwire.gem.ledger import Ledger
from tests.gem.histories import Net, interleaved, live, story_of
from tests.gem.oracle import SAMPLE_NS, Group, Story, view_of


def view_of_fold(fold: Ledger) -> dict[End, Group]:
    """The fold's answer in the oracle's words."""
    view: dict[End, Group] = {}
    for end, record in fold.ends.items():
        chain = fold.chain(end)
        far = fold.far_end(end)
        assert chain is not None
        assert far is not None
        assert fold.far_owner(end) == fold.owner(far)
        estimate = (
            chain.frame,
            fold.state(end, SAMPLE_NS),
            chain.request,
            chain.tree,
            chain.oldest_ns,
            chain.hops,
            fold.rounds(end),
        )
        view[end] = Group(
            far=far,
            born=record.born is not None,
            dead=chain.dead,
            complete=fold.complete(end),
            estimate=None if chain.dead else estimate,
        )
    return view


def cut(random: Random, story: Story) -> dict[NodeId, list[tuple[int, Fact]]]:
    """A vector of watermarks: what a replica may have of each author."""
    if random.random() < 0.4:
        return {author: list(told) for author, told in story.items()}
    return {author: list(told[: random.randrange(len(told) + 1)]) for author, told in story.items()}


def folded(random: Random, net: Net, story: Story, make: type[Fold]) -> Fold:
    """A fold that has met these facts in a random order of authors."""
    fold = make(net.owner_of)
    for author, incarnation, fact in interleaved(random, story):
        touched = fold.apply(author, incarnation, fact)
        assert all(fold.living(end) for end in touched)
    return fold


class Tally:
    """What was compared, so that a test cannot pass empty."""

    def __init__(self) -> None:
        self.views = 0
        self.rows = 0
        self.dead = 0
        self.swapped_at_both_ends = 0
        self.restarts = 0


def compare(random: Random, tally: Tally, views: int, make: type[Fold] = Fold) -> None:
    """One life, several replicas: each equals the definition, and equal watermarks give equal digests."""
    net = live(
        random,
        random.randrange(2, 7),
        random.randrange(5, 250),
        ring=random.random() < 0.4,
        purifying=random.choice((0.0, 0.0, 0.4)),
    )
    story = story_of(net)
    ended_by_swap = {
        end
        for told in story.values()
        for _, fact in told
        if isinstance(fact, Swapped)
        for end in (fact.left, fact.right)
    }
    tally.swapped_at_both_ends += sum(
        1 for end in ended_by_swap if end.side == 0 and end.partner in ended_by_swap
    )
    tally.restarts += sum(node.incarnation - 1 for node in net.nodes)
    for _ in range(views):
        seen = cut(random, story)
        fold = folded(random, net, seen, make)
        expected = view_of(seen, net.owner_of)
        assert view_of_fold(fold) == expected
        rows = list(fold.available(SAMPLE_NS))
        listed = {end for row in rows for end in row.ends}
        assert listed == {end for end, group in expected.items() if group.complete}
        for row in rows:
            estimate = expected[row.ends[0]].estimate
            assert estimate is not None
            assert (row.frame, row.state, row.request, row.created_ns, row.hops) == (
                *estimate[:3],
                *estimate[4:6],
            )
        assert fold.digest() == folded(random, net, seen, make).digest()
        tally.views += 2
        tally.rows += 2 * len(rows)
        tally.dead += sum(1 for group in expected.values() if group.dead)
