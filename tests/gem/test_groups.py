"""Groups of three and more in the fold, against their definition and in any order of arrival."""

from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from bellwire.core.ids import End
from bellwire.gem.fold import Fold
from bellwire.gem.groups import GroupRecord
from tests.gem.group_oracle import GroupSeen, groups_of
from tests.gem.histories import interleaved, live, story_of
from tests.gem.replicas import cut, folded


def seen_by(fold: Fold) -> dict[End, GroupSeen]:
    """The fold's answer in the oracle's words."""
    seen: dict[End, GroupSeen] = {}
    for end, record in fold.ends.items():
        chain = record.chain
        ends = fold.members(end)
        leaves = sorted(ends)
        seen[end] = GroupSeen(
            ends=frozenset(ends),
            dead=chain.dead,
            complete=fold.complete(end),
            bits=None
            if chain.dead
            else tuple(fold.turned(end, leaf) >> 1 if leaf != end else 0 for leaf in leaves),
            phase=None if chain.dead else chain.frame & 1,
        )
    return seen


def compare(random: Random, counts: dict[str, int]) -> None:
    net = live(random, random.randrange(3, 7), 160, ring=random.random() < 0.4, fusing=0.5)
    for _ in range(2):
        story = cut(random, story_of(net))
        one, other = folded(random, net, story, Fold), folded(random, net, story, Fold)
        assert one.digest() == other.digest()
        truth, view = groups_of(story, net.owner_of), seen_by(one)
        assert set(view) == set(truth)
        for end, group in truth.items():
            found = view[end]
            assert found.dead == group.dead
            if not group.dead:
                assert found == group
                assert one.state(end, 10**7) == other.state(end, 10**7)
                counts["large"] += len(group.ends) > 2
                counts["complete"] += len(group.ends) > 2 and group.complete
            counts["dead"] += group.dead


def test_every_view_of_a_life_with_fusions_equals_its_definition() -> None:
    counts: dict[str, int] = {"large": 0, "complete": 0, "dead": 0}
    for seed in range(150):
        compare(Random(seed), counts)
    assert counts["large"] > 200
    assert counts["complete"] > 100
    assert counts["dead"] > 500


@settings(derandomize=True, deadline=None, max_examples=60)
@given(st.integers(1 << 20, 1 << 40))
def test_no_seed_that_hypothesis_can_find_makes_the_fold_differ_from_its_definition(seed: int) -> None:
    compare(Random(seed), {"large": 0, "complete": 0, "dead": 0})


def test_nothing_of_a_group_is_kept_when_all_its_members_have_ended() -> None:
    grouped = 0
    for seed in range(40):
        random = Random(seed)
        net = live(random, 5, 160, clean=True, fusing=0.6)
        fold = Fold(net.owner_of)
        for author, incarnation, fact in interleaved(random, story_of(net)):
            fold.apply(author, incarnation, fact)
            grouped += any(type(record.chain) is GroupRecord for record in fold.ends.values())
        assert fold.ends == {}
    assert grouped > 500
