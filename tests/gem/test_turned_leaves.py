"""Ends that a Hadamard gate has turned: leaves of star graphs in the fold."""

from random import Random

import msgspec

from bellwire.core.facts import Corrected, Fact
from bellwire.core.ids import NodeId
from bellwire.gem.fold import Fold
from tests.gem.histories import live, story_of
from tests.gem.replicas import cut, folded


def turned(
    random: Random, story: dict[NodeId, list[tuple[int, Fact]]]
) -> dict[NodeId, list[tuple[int, Fact]]]:
    """The same history with gates before half of the corrections."""
    return {
        author: [
            (incarnation, msgspec.structs.replace(fact, hadamard=random.random() < 0.5))
            if isinstance(fact, Corrected)
            else (incarnation, fact)
            for incarnation, fact in told
        ]
        for author, told in story.items()
    }


def test_replicas_agree_about_turned_leaves_whatever_they_hear_first() -> None:
    """A gate may be told before the fusion that made its end a leaf; digests and estimates are the same."""
    gates = larger = 0  # dead states have no estimate that must agree
    for seed in range(150):
        random = Random(seed)
        net = live(random, random.randrange(3, 7), 160, fusing=0.5)
        story = cut(random, turned(random, story_of(net)))
        one, other = folded(random, net, story, Fold), folded(random, net, story, Fold)
        assert one.digest() == other.digest()
        for end, record in one.ends.items():
            if record.chain.dead:
                continue
            assert one.state(end, 10**7) == other.state(end, 10**7)
            larger += len(one.members(end)) > 2
        facts = [fact for told in story.values() for _, fact in told]
        gates += sum(isinstance(fact, Corrected) and fact.hadamard for fact in facts)
    assert gates > 100
    assert larger > 200
