"""One memory bank or emitter over all links of a node: turns are exclusive, fair, and come to everybody.

The bench looks at its invariants at every attempt of its hardware: at a node that shares memories no two
links attempt at once, emitters are enough for all who attempt, and no slot is on two lanes.
"""

import itertools

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from bellwire.core.settings import NetworkSettings
from bellwire.link_layer.arbiter import apportioned, colours_of, homes_of, rivals_at, turns_needed
from tests.link_layer.bench import MS, PERIOD_NS, Channel
from tests.link_layer.shared_bench import LEASE_NS, TURNS, SharedBench, ring, sharing_network, star

SETTLED_NS = 3 * LEASE_NS
"""After a change of demand every link has its share of turns within three leases."""

BAD = Channel(loss=0.1, copies=0.1, jitter_ns=300_000)


def wanting_all(network: NetworkSettings, seed: int = 1, channel: Channel | None = None) -> SharedBench:
    bench = SharedBench(network, seed, channel=channel)
    for link in network.links:
        bench.want(link)
    return bench


def exclusive(bench: SharedBench) -> bool:
    """At every node that shares memories, windows in force give no turn to two links."""
    return all(
        not granted[link] & granted[rival]
        for node in bench.network.nodes
        for granted in [bench.granted(node)]
        for link, rivals in rivals_at(bench.network, node).items()
        for rival in rivals
    )


# ---- shares and homes


@settings(max_examples=200, deadline=None, derandomize=True)
@given(
    weights=st.dictionaries(st.sampled_from("abcdefgh"), st.integers(1, 64), min_size=1),
    total=st.integers(8, 64),
)
def test_turns_are_apportioned_by_weight_and_everybody_has_one(weights: dict[str, int], total: int) -> None:
    shares = apportioned(total, weights)
    assert sum(shares.values()) == total
    assert min(shares.values()) >= 1
    lifted = sum(shares[name] == 1 for name in weights)  # those that the minimum may have raised to one
    for name, weight in weights.items():
        exact = total * weight / sum(weights.values())
        assert shares[name] <= max(1, exact + 1)
        assert shares[name] >= exact - 1 - lifted


def test_shares_in_whole_turns_are_exact() -> None:
    assert apportioned(12, {"a": 1, "b": 2, "c": 1}) == {"a": 3, "b": 6, "c": 3}
    assert apportioned(12, {"a": 1}) == {"a": 12}
    assert apportioned(12, {"a": 1, "b": 63}) == {"a": 1, "b": 11}


@pytest.mark.parametrize("network", [star(5, banks={"hub": 2}), ring(3), ring(5), ring(6)])
def test_homes_of_links_that_share_memories_do_not_meet_and_nobody_is_without(
    network: NetworkSettings,
) -> None:
    homes = homes_of(network)
    assert set(homes) == set(network.links)
    assert all(homes.values())
    for node in network.nodes:
        for link, rivals in rivals_at(network, node).items():
            assert all(not set(homes[link]) & set(homes[rival]) for rival in rivals)
    assert turns_needed(network) == max(colours_of(network).values()) + 1 <= TURNS


def test_links_that_meet_only_at_nodes_with_memories_of_their_own_are_no_rivals() -> None:
    chain = sharing_network({"ab": ("a", "b"), "bc": ("b", "c"), "cd": ("c", "d")}, banks={"b": 2})
    assert rivals_at(chain, "b") == {"ab": {"bc"}, "bc": {"ab"}}
    assert rivals_at(chain, "c") == {"bc": frozenset(), "cd": frozenset()}
    emitter = sharing_network({"ab": ("a", "b"), "bc": ("b", "c")}, banks={}, emitters={"b": 1})
    assert rivals_at(emitter, "b") == {"ab": {"bc"}, "bc": {"ab"}}


# ---- a star: one hub with a bank, or with one emitter


@pytest.mark.parametrize(
    "network",
    [
        star(3, banks={"hub": 2}),
        star(3, banks={}, emitters={"hub": 1}),
        star(3, banks={"hub": 4}, lanes=3),
        star(4, banks={"hub": 1}),
    ],
    ids=["bank of 2", "one emitter", "bank of 4, three lanes", "one slot"],
)
def test_links_of_a_hub_share_its_time_equally_and_no_herald_is_unusable(network: NetworkSettings) -> None:
    bench = wanting_all(network)
    bench.run(10 * LEASE_NS)
    grants = [len(bench.in_force(link)) for link in network.links]
    assert grants == [TURNS // len(network.links)] * len(network.links)
    assert exclusive(bench)
    attempted = [bench.attempted[link] for link in network.links]
    assert min(attempted) > 0.9 * max(attempted)
    assert min(bench.heralds.values()) > 20
    assert bench.counted("unusable") == bench.counted("unknown") == 0


def test_turns_follow_the_weights_of_the_requests() -> None:
    network = star(3, banks={"hub": 2})
    bench = SharedBench(network, 2)
    for link, weight in zip(network.links, (1, 2, 3), strict=True):
        bench.want(link, weight=weight)
    bench.run(SETTLED_NS)
    assert [len(bench.in_force(link)) for link in network.links] == [2, 4, 6]


def test_a_link_alone_has_all_turns_and_attempts_without_a_gap() -> None:
    network = star(3, banks={"hub": 2})
    bench = SharedBench(network, 3)
    bench.want("l1")
    bench.run(4 * LEASE_NS)
    assert len(bench.in_force("l1")) == TURNS
    assert bench.end("hub", "l1").duty() == 1.0
    # A pair takes 20 attempts and half a millisecond in memory (5 attempts), and a little until it is told.
    assert bench.attempted["l1"] > 0.7 * 4 * LEASE_NS / PERIOD_NS


def test_shares_shrink_for_a_newcomer_and_grow_when_it_leaves_within_three_leases() -> None:
    network = star(3, banks={"hub": 2})
    for order in itertools.permutations(network.links):
        bench = SharedBench(network, 4)
        bench.want(order[0])
        bench.run(SETTLED_NS)
        bench.want(order[1])
        bench.run(2 * SETTLED_NS)
        assert [len(bench.in_force(link)) for link in order] == [6, 6, 0]
        bench.want(order[2])
        bench.run(3 * SETTLED_NS)
        assert [len(bench.in_force(link)) for link in order] == [4, 4, 4]
        bench.drop(order[0])
        bench.run(4 * SETTLED_NS)
        assert [len(bench.in_force(link)) for link in order[1:]] == [6, 6]
        assert exclusive(bench)
        assert bench.counted("unusable") <= 1  # of the pair that was on its way when its request left


def test_background_requests_have_only_turns_that_nobody_else_wants() -> None:
    network = star(2, banks={"hub": 2})
    bench = SharedBench(network, 5)
    bench.want("l0", background=True)
    bench.run(SETTLED_NS)
    assert len(bench.in_force("l0")) == TURNS
    bench.want("l1")
    bench.run(3 * SETTLED_NS)
    assert bench.in_force("l0") == ()
    assert len(bench.in_force("l1")) == TURNS
    before = bench.attempted["l0"]
    bench.drop("l1")
    bench.run(5 * SETTLED_NS)
    assert len(bench.in_force("l0")) == TURNS
    assert bench.attempted["l0"] > before


def test_both_ends_have_the_same_turns_in_force() -> None:
    bench = wanting_all(star(3, banks={"hub": 2}), seed=6)
    for step in range(1, 40):
        bench.run(step * LEASE_NS // 7)
        for link in bench.network.links:
            one, other = (end.book for end in bench.ends(link))
            common = {window.fence for window in one.windows} & {window.fence for window in other.windows}
            assert one.run == other.run
            for fence in common:
                ours, theirs = (
                    next(window for window in book.windows if window.fence == fence) for book in (one, other)
                )
                assert ours == theirs


# ---- rings and other topologies: nobody starves, nobody waits for ever


@pytest.mark.parametrize(
    ("network", "least"),
    [(ring(3), 4), (ring(4), 6), (ring(5), 4), (ring(3, lanes=2), 4)],
    ids=["ring of 3", "ring of 4", "ring of 5", "ring of 3, two lanes"],
)
def test_in_a_ring_of_sharing_nodes_every_link_has_its_home_at_least(
    network: NetworkSettings, least: int
) -> None:
    bench = wanting_all(network, seed=7)
    bench.run(SETTLED_NS)
    assert exclusive(bench)
    assert min(len(bench.in_force(link)) for link in network.links) >= least
    before = dict(bench.heralds)
    bench.run(SETTLED_NS + 2 * LEASE_NS)
    assert all(bench.heralds[link] > before.get(link, 0) for link in network.links)
    assert bench.counted("unusable") == 0


TOPOLOGIES = st.sets(
    st.sampled_from([(one, other) for one, other in itertools.permutations("abcde", 2)]),
    min_size=2,
    max_size=6,
).map(sorted)


@settings(max_examples=14, deadline=None, derandomize=True, phases=(Phase.explicit, Phase.generate))
@given(
    pairs=TOPOLOGIES,
    banks=st.dictionaries(st.sampled_from("abcde"), st.integers(1, 3), min_size=1, max_size=5),
    demand=st.lists(st.integers(0, 5), min_size=3, max_size=8),
    seed=st.integers(0, 1000),
)
def test_whatever_the_topology_and_the_channel_turns_stay_exclusive_and_come_to_everybody(
    pairs: list[tuple[str, str]], banks: dict[str, int], demand: list[int], seed: int
) -> None:
    links = {f"l{number}": pair for number, pair in enumerate(pairs)}
    used = {node for pair in pairs for node in pair}
    network = sharing_network(links, banks={name: size for name, size in banks.items() if name in used})
    bench = SharedBench(network, seed, channel=BAD)
    wanted: set[str] = set()
    for number in demand:  # requests come and go
        link = f"l{number % len(links)}"
        (bench.drop if link in wanted else bench.want)(link)
        wanted ^= {link}
        bench.run(bench.now_ns + 40 * MS)
        assert exclusive(bench)
    for link in sorted(links.keys() - wanted):
        bench.want(link)
    bench.channel = Channel()
    bench.run(bench.now_ns + SETTLED_NS)
    assert exclusive(bench)
    assert all(bench.in_force(link) for link in links)
    before = dict(bench.attempted)
    bench.run(bench.now_ns + LEASE_NS)
    assert all(bench.attempted[link] > before.get(link, 0) for link in links)


@pytest.mark.parametrize("order", list(itertools.permutations(["l1", "l3", "l5"])))
def test_two_links_that_are_refused_for_each_others_offers_for_ever_ask_for_their_homes(
    order: tuple[str, ...],
) -> None:
    """Without loss and jitter both sides were refused turn 9 at once, told of turn 10, refused that, and so
    on: two links between the same two nodes, one proposed by either of them, made no attempt any more."""
    pairs = [("a", "b"), ("a", "c"), ("b", "e"), ("c", "a"), ("d", "b"), ("e", "b")]
    for bank in (1, 2, 3):
        network = sharing_network(
            {f"l{number}": pair for number, pair in enumerate(pairs)},
            banks={"a": 1, "b": bank, "c": 3, "d": 3, "e": 1},
        )
        bench = SharedBench(network, 48, channel=BAD)
        for link, act in (("l2", bench.want), ("l1", bench.want), ("l4", bench.want), ("l4", bench.drop)):
            act(link)
            bench.run(bench.now_ns + 40 * MS)
        for link, act in (("l4", bench.want), ("l1", bench.drop), ("l0", bench.want)):
            act(link)
            bench.run(bench.now_ns + 40 * MS)
        for link in order:
            bench.want(link)
        bench.channel = Channel()
        bench.run(bench.now_ns + SETTLED_NS)
        before = dict(bench.attempted)
        bench.run(bench.now_ns + LEASE_NS)
        assert all(bench.attempted[link] > before.get(link, 0) for link in network.links)
        assert exclusive(bench)


@pytest.mark.parametrize("who", ["hub", "n0", "n1"])
def test_a_node_that_restarts_gets_its_turns_again(who: str) -> None:
    bench = wanting_all(star(3, banks={"hub": 2}), seed=8, channel=BAD)
    bench.run(SETTLED_NS)
    bench.boot(who)
    for link in bench.network.nodes[who].links:
        bench.want(link)
    bench.channel = Channel()
    bench.run(3 * SETTLED_NS)
    assert exclusive(bench)
    before = dict(bench.heralds)
    bench.run(4 * SETTLED_NS)
    assert [len(bench.in_force(link)) for link in bench.network.links] == [4, 4, 4]
    assert all(bench.heralds[link] > before[link] for link in bench.network.links)


# ---- memories of a bank


def test_pairs_of_one_link_leave_a_memory_to_each_of_the_others() -> None:
    """Pairs that wait for a partner over another link would else fill the bank, and all would wait."""
    bench = SharedBench(star(2, banks={"hub": 2}, lanes=2), 9, held_for_ns=10**15)
    bench.want("l0")
    bench.want("l1")
    bench.run(SETTLED_NS)
    holding = sorted(slot.link for slot in bench.slots["hub"].slots() if slot.state == "held")
    assert holding == ["l0", "l1"]


def test_a_link_alone_may_fill_the_bank() -> None:
    bench = SharedBench(star(2, banks={"hub": 2}, lanes=2), 9, held_for_ns=10**15)
    bench.want("l0")
    bench.run(SETTLED_NS)
    holding = [slot.link for slot in bench.slots["hub"].slots() if slot.state == "held"]
    assert holding == ["l0", "l0"]


def test_a_lane_attempts_with_another_memory_of_the_bank_as_soon_as_its_pair_is_born() -> None:
    bench = SharedBench(star(2, banks={"hub": 3, "n0": 3}), 10, held_for_ns=10**15)
    bench.want("l0")
    bench.run(SETTLED_NS)
    born = [end for end in bench.sinks["hub"][0].ready if end.link == "l0"]
    assert len(born) == 3
    assert {end.lane for end in born} == {0}
    assert {slot.end for slot in bench.slots["hub"].slots()} == set(born)
