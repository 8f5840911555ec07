"""Flow control by free memory (algorithms.md 10.2): attempts only where the other end can take part."""

import pytest

from bellwire.core.effects import Effect
from bellwire.core.link_messages import MemoryFree
from bellwire.core.settings import NetworkSettings
from bellwire.link_layer.flow import TRUST_SHARE, Belief
from tests.link_layer.bench import MS, Channel
from tests.link_layer.shared_bench import LEASE_NS, SharedBench, sharing_network, star

TRUST_NS = 100
RUN = 7


def said(lanes: tuple[int, ...], free: int = 0, attempt: int = -1) -> MemoryFree:
    return MemoryFree(link="l", run=RUN, attempt=attempt, lanes=lanes, free=free)


def dedicated() -> Belief:
    return Belief(3, in_bank=False, trust_ns=TRUST_NS)


def test_an_end_of_which_nothing_is_known_can_take_part_on_every_lane() -> None:
    belief = dedicated()
    assert all(belief.takes_part(lane, (0, 1, 2)) for lane in range(3))
    assert belief.deadline_ns() is None


def test_a_lane_whose_pair_was_made_waits_until_the_other_end_has_told_of_its_memory() -> None:
    belief = dedicated()
    belief.born(RUN, 5, 1, now_ns=0)
    assert [belief.takes_part(lane, ()) for lane in range(3)] == [True, False, True]
    belief.told(said((0, 1, 2), attempt=5), now_ns=10)
    assert belief.takes_part(1, ())


def test_a_word_that_has_counted_a_pair_before_we_heard_of_it_stands() -> None:
    """The other end was told of the pair first, freed its memory, and its word overtook our herald."""
    belief = dedicated()
    belief.told(said((0, 1, 2), attempt=5), now_ns=0)
    belief.born(RUN, 5, 1, now_ns=1)
    assert belief.takes_part(1, ())


def test_an_older_word_does_not_replace_what_is_known_of_later_pairs() -> None:
    belief = dedicated()
    belief.born(RUN, 9, 0, now_ns=0)
    belief.told(said((0, 1, 2), attempt=5), now_ns=1)
    assert not belief.takes_part(0, ())


def test_of_a_bank_as_many_lanes_take_part_as_it_has_memories() -> None:
    belief = Belief(4, in_bank=True, trust_ns=TRUST_NS)
    belief.told(said((2,), free=1), now_ns=0)
    assert belief.takes_part(2, ())
    assert belief.takes_part(0, (2,))
    assert not belief.takes_part(1, (2, 0))
    assert belief.order()[0] == 2


def test_a_belief_that_keeps_lanes_waiting_is_given_up_in_time() -> None:
    belief = dedicated()
    belief.told(said(()), now_ns=50)
    assert belief.deadline_ns() == 50 + TRUST_NS
    assert not belief.expire(149)
    assert belief.expire(150)
    assert belief.takes_part(0, (1, 2))


def test_only_news_is_told() -> None:
    belief = Belief(2, in_bank=True, trust_ns=TRUST_NS)
    assert belief.says((0,), 1)  # enough for every lane, and nothing else was ever said
    assert belief.says((), 5)
    assert not belief.says((0,), 0)
    belief.told(said((0,), free=0), now_ns=0)
    assert belief.says((0,), 0)
    assert not belief.says((1,), 0)
    assert not belief.says((0, 1), 0)


# ---- on the bench


def one_bank(slots: int, lanes: int) -> NetworkSettings:
    """A hub whose bank has fewer memories than the leaf has lanes."""
    return star(1, banks={"hub": slots}, lanes=lanes)


@pytest.mark.parametrize("seed", range(3))
def test_a_bank_spends_its_memories_on_lanes_whose_partner_is_free(seed: int) -> None:
    """The leaf's memories are held long after each pair; the hub has two for three lanes."""
    bench = SharedBench(one_bank(2, 3), seed, held_for_ns=MS // 2)
    leaf = bench.sinks["n0"][0]
    leaf.held_for_ns = 12 * MS
    bench.want("l0")
    bench.run(10 * LEASE_NS)
    vain, joint = bench.in_vain["l0"], bench.attempted["l0"]
    assert joint > 5_000
    # What is left: attempts that begin in the 50 us before the leaf's word is heard.
    assert vain < 0.05 * joint
    assert bench.counted("unusable") == 0


def test_a_lost_word_costs_no_more_than_the_trust_in_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every word of free memory is lost: the lane goes on when the belief is given up."""
    network = one_bank(1, 1)
    bench = SharedBench(network, 4)
    execute = bench._execute

    def losing(node: str, effect: Effect) -> None:
        if not isinstance(getattr(effect, "message", None), MemoryFree):
            execute(node, effect)

    monkeypatch.setattr(bench, "_execute", losing)
    bench.want("l0")
    bench.run(10 * LEASE_NS)
    pairs = bench.heralds["l0"]
    assert bench.counted("memory_told") >= pairs - 1
    # Each pair costs at most the trust, twenty attempts in the mean, and what the memory is held.
    assert pairs >= 0.8 * 10 * LEASE_NS / (LEASE_NS / TRUST_SHARE + 3 * MS)


def test_two_banks_meet_on_the_same_lanes() -> None:
    """Both ends choose lanes for scarce memories, and one of them holds its pairs for long: attempts of one
    end alone stay rare. (When neither looks at what the other says, 2.6 are in vain for each joint one.)"""
    network = sharing_network({"l": ("a", "b")}, banks={"a": 2, "b": 3}, lanes=4)
    for seed in range(3):
        bench = SharedBench(network, seed)
        bench.sinks["b"][0].held_for_ns = 3 * MS
        bench.want("l")
        bench.run(8 * LEASE_NS)
        assert bench.attempted["l"] > 15_000
        assert bench.in_vain["l"] < 0.15 * bench.attempted["l"]
        assert bench.counted("unusable") == 0


def test_over_a_bad_channel_two_banks_go_on() -> None:
    network = sharing_network({"l": ("a", "b")}, banks={"a": 1, "b": 2}, lanes=2)
    for seed in range(3):
        bench = SharedBench(network, seed, channel=Channel(loss=0.05, copies=0.05, jitter_ns=200_000))
        bench.sinks["b"][0].held_for_ns = 3 * MS
        bench.want("l")
        bench.run(8 * LEASE_NS)
        assert bench.heralds["l"] > 150


def test_ends_with_memories_of_their_own_tell_nothing() -> None:
    plain = sharing_network({"l0": ("a", "b"), "l1": ("b", "c")}, banks={}, turn_ns=0)
    bench = SharedBench(plain, 5)
    for link in plain.links:
        bench.want(link)
    bench.run(2 * LEASE_NS)
    assert all(end.sharing is None for service in bench.services.values() for end in service.ends.values())
    assert min(bench.heralds.values()) > 50
