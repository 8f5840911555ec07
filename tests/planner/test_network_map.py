"""The map of a network from what its nodes say of themselves: discovery, agreement, states."""

import itertools
import random
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bellwire.core.errors import PeerViolation
from bellwire.core.events import LeaveAsked, LinkPinged, PeerChanged, Received, Started
from bellwire.core.messages import SCHEMA_VERSION
from bellwire.core.notices import LinkStateTold, NodeLeaving, PeerLeft, PeerLost
from bellwire.core.settings import LinkSettings, NetworkSettings
from bellwire.core.topology_messages import LinkVerification, NodeAnnounced
from bellwire.planner.link_claims import LINKS_MAX, claim_of, contradiction
from tests.planner.map_bench import MS, NETWORK, SECOND, TOPOLOGY, Bench, MapNode, Said


def with_link(network: NetworkSettings, name: str, **changes: Any) -> NetworkSettings:
    links = {**network.links, name: msgspec.structs.replace(network.links[name], **changes)}
    return msgspec.structs.replace(network, links=links)


def all_up(**options: Any) -> Bench:
    bench = Bench(**options)
    bench.start()
    bench.deliver()
    return bench


def found(verdict: str = "yes", **changes: Any) -> LinkVerification:
    known: dict[str, Any] = {
        "verdict": verdict,
        "fidelity_wanted": 0.9,
        "pairs": 60,
        "fidelity": 0.95,
        "fidelity_low": 0.9,
        "fidelity_high": 0.98,
        "at_ns": SECOND,
    }
    return LinkVerification(**(known | changes))


# ---- discovery


def test_nodes_that_have_heard_each_other_agree_on_every_node_and_link() -> None:
    bench = all_up()
    assert len(bench.digests()) == 1
    for node in bench.nodes.values():
        assert node.map.missing() == ()
        assert node.map.version() == {"a": (1, 1), "b": (1, 1), "m": (1, 1), "r": (1, 1)}
        assert {one.state for one in node.map.nodes.values()} == {"up"}
        assert {link.state for link in node.map.links.values()} == {"unverified"}
    told = bench.nodes["b"].map.nodes["r"].announced
    assert told is not None
    assert (told.role, told.relays, told.schema) == ("repeater", True, SCHEMA_VERSION)
    assert told.memory is not None
    assert told.memory.slots == 2
    assert [claim.link for claim in told.links] == ["a-r", "r-b"]
    assert told.links[0].points[0].success_probability == 0.05


def test_a_link_counts_as_discovered_when_both_ends_and_its_station_have_announced_it() -> None:
    bench = Bench()
    expected = [
        ("a", "r and m has not announced it"),
        ("r", "m has not announced it"),
        ("m", ""),
    ]
    for name, reason in expected:
        bench.start(name)
        bench.up(name)
        bench.deliver()
        assert bench.link("a", "a-r") == ("unverified" if not reason else "half_announced", reason)
    assert bench.link("a", "r-b") == ("half_announced", "b has not announced it")


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"lanes": 3}, "b and r announce lanes 3 against 1"),
        ({"period_ns": 7}, "b and r announce period_ns 7 against 100000"),
        ({"architecture": "single_click"}, "b and r announce architecture single_click against textbook"),
        ({"success_probability": 0.5}, "b and r announce success probability 0.5 against 0.05"),
    ],
)
def test_a_link_of_which_its_ends_say_different_things_is_contradicted(
    changes: dict[str, Any], reason: str
) -> None:
    bench = all_up(settings={"b": with_link(NETWORK, "r-b", **changes)})
    for node in bench.nodes:
        assert bench.link(node, "r-b") == ("contradicted", reason)
        assert bench.link(node, "a-r")[0] == "unverified"
    assert len(bench.digests()) == 1, "a contradiction is part of the map, and the same for all"


def test_figures_contradict_each_other_beyond_three_of_their_errors_and_not_within() -> None:
    link = NETWORK.links["r-b"]

    def claims(second: float, error: float | None) -> str | None:
        one = msgspec.structs.replace(link, success_probability=0.05, success_error=error)
        return contradiction(
            claim_of(one), claim_of(msgspec.structs.replace(one, success_probability=second))
        )

    # Uncalibrated: 20 % each, so 3 sqrt(0.2^2 p^2 + 0.2^2 q^2); of 0.05 and 0.1 that is 0.067, of 0.18 0.112.
    assert claims(0.1, None) is None
    assert claims(0.18, None) is not None
    # Calibrated to 0.001 at both ends: 3 sqrt(2) 0.001 = 0.00424.
    assert claims(0.0542, 0.001) is None
    assert claims(0.0543, 0.001) is not None


def test_a_link_that_only_the_others_know_is_on_the_map_and_says_so() -> None:
    """The file of node b is older: it lacks the link a - r."""
    old = msgspec.structs.replace(
        NETWORK,
        links={"r-b": NETWORK.links["r-b"]},
        nodes={
            **NETWORK.nodes,
            "a": msgspec.structs.replace(NETWORK.nodes["a"], links=()),
            "r": msgspec.structs.replace(NETWORK.nodes["r"], links=("r-b",)),
            "m": msgspec.structs.replace(NETWORK.nodes["m"], links=()),
        },
    )
    bench = all_up(settings={"b": old})
    assert bench.link("b", "a-r") == ("unverified", "the lab file of this node does not have it")
    assert len(bench.digests()) == 1
    bench.settings = dict.fromkeys(NETWORK.nodes, old)
    for name in ("a", "r", "m"):
        bench.start(name)
        bench.up(name)
    bench.deliver()
    assert "a-r" not in bench.nodes["b"].map.links, "nobody claims it any more"


# ---- order, loss, and who may say what


def lives() -> list[tuple[str, int, NodeAnnounced]]:
    """Announcements of two lives of three nodes, two in each life, as (author, incarnation, announcement)."""
    told: list[tuple[str, int, NodeAnnounced]] = []
    for name, incarnation in itertools.product(("a", "r", "b"), (1, 2)):
        node = MapNode(NETWORK, name, incarnation)
        link = NETWORK.nodes[name].links[0]
        events: list[tuple[int, Any]] = [
            (0, Started(incarnation=incarnation)),
            (SECOND, Said(LinkStateTold(link=link, state="down", reason="dark"))),
            (2 * SECOND, None),
        ]
        for now_ns, event in events:
            if event is None:
                from bellwire.core.events import TimerFired

                event = TimerFired()
            for effect in node.machine.handle(now_ns, event):
                message = getattr(effect, "message", None)
                if isinstance(message, NodeAnnounced) and effect.to == "m":  # type: ignore[union-attr]
                    told.append((name, incarnation, message))
    return told


LIVES = lives()


@given(st.permutations(LIVES), st.lists(st.sampled_from(LIVES), max_size=6))
def test_the_same_announcements_in_any_order_and_repeated_give_the_same_map_and_digest(
    order: list[tuple[str, int, NodeAnnounced]], again: list[tuple[str, int, NodeAnnounced]]
) -> None:
    assert len(LIVES) == 12
    maps = []
    for told in (LIVES, [*order, *again]):
        node = MapNode(NETWORK, "m", 1)
        node.machine.handle(0, Started(incarnation=1))
        for source, incarnation, message in told:
            node.machine.handle(5, Received(source=source, incarnation=incarnation, message=message))
        maps.append(node.map)
    one, other = maps
    assert one.digest() == other.digest()
    assert one.version() == other.version() == {"a": (2, 2), "b": (2, 2), "m": (1, 1), "r": (2, 2)}
    assert one.nodes == other.nodes
    assert one.links == other.links
    assert one.links["r-b"].state == "down"


def test_any_difference_in_what_was_announced_is_a_difference_of_digests() -> None:
    digests = set()
    for kept in range(len(LIVES) + 1):
        node = MapNode(NETWORK, "m", 1)
        node.machine.handle(0, Started(incarnation=1))
        for source, incarnation, message in LIVES[:kept]:
            node.machine.handle(5, Received(source=source, incarnation=incarnation, message=message))
        digests.add(node.map.digest())
    assert len(digests) == len(LIVES) + 1


def test_lost_announcements_are_asked_for_until_all_maps_agree() -> None:
    """Half of all messages are lost, seed 5. Each node compares with one other a second, in turn of three; a
    comparison mends its direction when all of its three messages arrive, one time in eight. After 120 s each
    direction had 40 chances: that one of 12 stays unmended has a chance below 12 (7/8)^40 = 6 %, and with
    this seed none does."""
    bench = Bench()
    chance = random.Random(5)
    bench.lost = lambda source, to: chance.random() < 0.5
    bench.start()
    bench.deliver()
    assert len(bench.digests()) > 1, "nothing was lost that matters"
    bench.wait(120 * SECOND)
    assert len(bench.digests()) == 1
    assert all(node.map.missing() == () for node in bench.nodes.values())


def test_comparing_costs_one_message_a_node_and_second_once_all_agree() -> None:
    bench = all_up()
    bench.wait(3 * SECOND)
    before = bench.carried
    bench.wait(30 * TOPOLOGY.look_ns)
    assert bench.carried - before == 30 * len(NETWORK.nodes)
    for node in bench.nodes.values():
        others = [one for name, one in node.map.nodes.items() if name != node.name]
        assert all(one.agrees for one in others)


def test_a_node_speaks_of_itself_alone_and_does_not_contradict_itself() -> None:
    bench = all_up()
    told = bench.nodes["r"].map.nodes["r"].announced
    assert told is not None
    listener = bench.nodes["a"].machine

    def hear(message: NodeAnnounced, incarnation: int = 1) -> None:
        listener.handle(9, Received(source="r", incarnation=incarnation, message=message))

    change = msgspec.structs.replace
    claim = told.links[0]
    before = bench.nodes["a"].map.digest()
    many = tuple(change(claim, link=f"x{number}") for number in range(LINKS_MAX + 1))
    others = bench.nodes["b"].map.nodes["b"].announced
    assert others is not None
    for wrong in (
        change(others, number=2),  # what b might well say, said by r
        change(told, relays=False),  # under the number of another announcement
        change(told, number=0),
        change(told, number=2, memory=None),
        change(told, number=2, role="station"),
        change(told, number=2, links=(claim, claim)),
        change(told, number=2, links=many),
        change(told, number=2, links=(change(claim, nodes=("a", "b"), station=None),)),
        change(told, number=2, links=(change(claim, lanes=0),)),
        change(told, number=2, links=(change(claim, success_error=float("inf")),)),
        change(told, number=2, links=(change(claim, points=()),)),
        change(told, number=2, links=(change(claim, reason="x" * 201),)),
        change(told, number=2, links=(change(claim, verification=found(fidelity=0.5)),)),
        change(told, number=2, software="x" * 201),
    ):
        with pytest.raises(PeerViolation):
            hear(wrong)
        assert bench.nodes["a"].map.digest() == before, "a refused announcement changes nothing"
    hear(change(told, number=2, relays=False))
    assert bench.nodes["a"].map.digest() != before
    hear(told)
    hear(change(told, number=9), incarnation=0)
    assert bench.nodes["a"].map.version()["r"] == (1, 2), "older words are passed over"


# ---- states


def test_silence_is_an_opinion_that_changes_states_and_not_the_map() -> None:
    bench = all_up()
    before = bench.digests()
    bench.now_ns = 5 * SECOND
    bench.tell("a", PeerChanged(peer="r", state="suspect", incarnation=1))
    assert bench.link("a", "r-b") == ("suspect", "r is not heard at the moment")
    bench.now_ns = 6 * SECOND
    bench.tell("a", PeerChanged(peer="r", state="down", incarnation=1))
    assert bench.link("a", "a-r") == ("down", "r is silent")
    node = bench.nodes["a"].map.nodes["r"]
    assert (node.state, node.since_ns) == ("down", 6 * SECOND)
    assert bench.nodes["a"].map.links["a-r"].since_ns == 6 * SECOND
    assert bench.link("b", "r-b") == ("unverified", "")
    assert bench.digests() == before
    bench.tell("a", PeerChanged(peer="r", state="up", incarnation=1))
    assert bench.link("a", "a-r") == ("unverified", "")
    changes = [
        report.fields["state"] for name, report in bench.reports if report.name == "link_state_changed"
    ]
    assert changes[-3:] == ["suspect", "down", "unverified"], "side 0 of the link tells people"


def test_what_an_end_finds_out_about_its_link_is_on_every_map_soon_and_not_too_often() -> None:
    bench = all_up()
    for count in range(50):  # a flapping link within 50 ms
        state: Any = "down" if count % 2 == 0 else "up"
        bench.now_ns += MS
        bench.tell(
            "b", Said(LinkStateTold(link="r-b", state=state, reason="no herald" if count % 2 == 0 else ""))
        )
    bench.tell("b", Said(LinkStateTold(link="r-b", state="suspect", reason="few heralds")))
    bench.wait(TOPOLOGY.gap_ns)
    assert {bench.link(name, "r-b") for name in bench.nodes} == {("suspect", "b: few heralds")}
    assert bench.nodes["a"].map.version()["b"] == (1, 2), "one announcement for all 51 changes"
    assert len(bench.digests()) == 1


@pytest.mark.parametrize(
    ("verdict", "state"), [("yes", "verified"), ("no", "degraded"), ("undecided", "unverified")]
)
def test_the_result_of_a_quantum_ping_marks_the_link_on_every_map(verdict: str, state: str) -> None:
    bench = all_up()
    bench.now_ns = SECOND
    bench.tell("r", LinkPinged(link="r-b", found=found(verdict)))
    bench.wait(SECOND)
    assert {bench.link(name, "r-b")[0] for name in bench.nodes} == {state}
    bench.tell("r", LinkPinged(link="r-b", found=found("yes", at_ns=2 * SECOND)))
    bench.wait(SECOND)
    assert {bench.link(name, "r-b")[0] for name in bench.nodes} == {"verified"}, "the newest one counts"
    assert len(bench.digests()) == 1


def test_a_ping_of_a_link_of_others_is_refused_with_a_word() -> None:
    bench = all_up()
    bench.tell("b", LinkPinged(link="a-r", found=found()))
    assert [report.fields["reason"] for _, report in bench.reports if report.name == "link_ping_refused"] == [
        "a-r is no link of b"
    ]
    bench.wait(SECOND)
    assert bench.link("a", "a-r") == ("unverified", "")


# ---- coming and going


def test_a_node_that_leaves_is_gone_at_once_and_is_welcome_when_it_returns() -> None:
    bench = all_up()
    bench.tell("r", LeaveAsked(reason="maintenance"))
    bench.tell("r", LeaveAsked(reason="again"))
    bench.deliver()
    assert bench.nodes["r"].ear.told == [NodeLeaving(reason="maintenance")]
    assert bench.nodes["a"].ear.told == [
        PeerLeft(peer="r", reason="maintenance"),
        PeerLost(peer="r"),
    ]
    assert bench.link("b", "a-r") == ("down", "r left the network: maintenance")
    bench.down("r")
    assert bench.nodes["a"].map.nodes["r"].state == "left", "its silence is no news"
    bench.start("r")
    bench.up("r")
    bench.deliver()
    assert {bench.link(name, "a-r") for name in bench.nodes} == {("unverified", "")}
    assert len(bench.digests()) == 1
    assert bench.nodes["a"].map.nodes["r"].state == "up"
    assert len(bench.nodes["a"].ear.told) == 2, "it left once"


def test_a_node_that_crashed_and_returns_needs_no_word_of_goodbye() -> None:
    bench = all_up()
    bench.down("b")
    assert bench.link("a", "r-b") == ("down", "b is silent")
    bench.start("b")
    bench.up("b")
    bench.deliver()
    assert bench.link("a", "r-b") == ("unverified", "")
    assert bench.nodes["b"].map.missing() == ()
    assert len(bench.digests()) == 1


# ---- regions


def regional(regions: int = 3) -> NetworkSettings:
    """A ring of regions of two nodes each; every node has a link to the next."""
    names = [f"n{number}" for number in range(2 * regions)]
    links: dict[str, LinkSettings] = {}
    for number, name in enumerate(names):
        other = names[(number + 1) % len(names)]
        links[f"{name}-{other}"] = msgspec.structs.replace(
            NETWORK.links["r-b"], link=f"{name}-{other}", nodes=(name, other)
        )
    nodes = {
        name: msgspec.structs.replace(
            NETWORK.nodes["a"],
            name=name,
            region=f"region{number // 2}",
            links=tuple(link for link in links if name in links[link].nodes),
        )
        for number, name in enumerate(names)
    }
    delays = {one: dict.fromkeys(names, 0) for one in names}
    return msgspec.structs.replace(NETWORK, nodes=nodes, links=links, delays_ns=delays, ledgers="routes")


def test_where_ledgers_keep_to_routes_a_map_has_the_region_and_what_its_links_lead_to() -> None:
    network = regional(4)
    bench = all_up(network=network)
    assert list(bench.nodes["n2"].map.nodes) == ["n1", "n2", "n3", "n4"]
    assert bench.nodes["n2"].map.missing() == ()
    assert bench.nodes["n2"].map.digest() == bench.nodes["n3"].map.digest()
    assert bench.nodes["n2"].map.digest() != bench.nodes["n4"].map.digest()
    assert bench.link("n2", "n3-n4") == ("unverified", "")
    for node in network.nodes:
        hearers = {other for other in network.nodes if other != node and node in network.mapped_by(other)}
        assert set(network.announces_to(node)) == hearers
    assert all(node.map.counters["strangers"] == 0 for node in bench.nodes.values())
