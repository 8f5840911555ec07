"""What planners of one region tell those of the next, and what a plan makes of it."""

from itertools import pairwise
from typing import Any

import pytest
from msgspec.structs import replace

from bellwire.core.effects import Send
from bellwire.core.errors import PeerViolation
from bellwire.core.events import PeerChanged, Received, Started, TimerFired
from bellwire.core.link_messages import RegionTold
from bellwire.core.plans import LinkNews
from bellwire.core.settings import NetworkSettings
from bellwire.node.routing import NodeMachine
from bellwire.planner.advertised import AGE_MAX_NS, AdvertisedLinks
from bellwire.planner.points import fidelity_at
from bellwire.planner.regions import RATIO_MAX, RegionNews
from tests.link_layer.lone import Lone
from tests.planner.test_advertised import FILE, advert, asked, network, planned

REGIONS = {"a": "west", "b": "west", "c": "west", "d": "east", "e": "east", "z": "far"}


def six_nodes() -> NetworkSettings:
    """a - b - c | d - e | z, and a way from a to e that does not touch c and d."""
    net = network("ab", "bc", "cd", "de", "ez", ends="abcdez")
    nodes = {name: replace(node, region=REGIONS[name]) for name, node in net.nodes.items()}
    return replace(net, nodes=nodes, ledgers="routes")


class Planner(Lone):
    """A node with its two parts that hear of links."""

    def __init__(self, node: str, net: NetworkSettings | None = None) -> None:
        net = net or six_nodes()
        self.advertised = AdvertisedLinks(net, node)
        self.part = RegionNews(net, node, self.advertised)
        super().__init__(node, NodeMachine(node, [self.advertised, self.part]))
        self.tell(0, Started(incarnation=1))

    def hears(self, source: str, message: Any, incarnation: int = 1, at_ns: int = 0) -> None:
        self.tell(at_ns, Received(source=source, incarnation=incarnation, message=message))

    def fire(self, at_ns: int) -> None:
        self.tell(at_ns, TimerFired())

    def summaries(self) -> list[tuple[str, RegionTold]]:
        return [
            (effect.to, effect.message)
            for effect in self.effects
            if isinstance(effect, Send) and isinstance(effect.message, RegionTold)
        ]

    def links(self, now_ns: int = 0) -> dict[str, LinkNews]:
        return {each.link: each for each in self.part.news(now_ns)}


def told(**terms: Any) -> RegionTold:
    known = {"region": "east", "number": 1, "links": 2, "success_ratio": 0.5, "fidelity_change": -0.02}
    return RegionTold(**(known | {"at_ns": 0} | terms))


def measured(link: str, factor: float) -> Any:
    """A link so many times as fast as its lab file says, sure of it: 40,000 heralds."""
    figures = {"success_probability": FILE * factor, "success_error": FILE * factor / 200, "measured": 40_000}
    return advert(link, figures=figures)


def test_the_first_planner_of_a_region_tells_planners_of_those_beside_it_alone() -> None:
    net = six_nodes()
    interval_ns = net.timers.advert_repeat_ns
    first, second = Planner("a", net), Planner("b", net)
    for one in (first, second):
        one.hears("a", measured("ab", 2.0))
        one.fire(interval_ns)
    sent = first.summaries()
    assert {to for to, _ in sent} == {"d", "e"}  # not z, whose region no link of this one leads to
    # Of the three links of the region (the one to the east among them: its side 0 is here) one was measured.
    summary = sent[0][1]
    assert summary.links == 1
    assert summary.success_ratio == pytest.approx(2.0 ** (1 / 3), rel=1e-3)
    assert second.summaries() == []


def test_who_follows_speaks_while_those_before_are_lost_and_nobody_without_news() -> None:
    net = six_nodes()
    interval_ns = net.timers.advert_repeat_ns
    second = Planner("b", net)
    second.tell(1, PeerChanged(peer="a", state="down", incarnation=1))
    second.fire(interval_ns)
    assert second.summaries() == []
    second.hears("a", measured("ab", 2.0), at_ns=interval_ns)
    second.fire(2 * interval_ns)
    assert len(second.summaries()) == 2
    second.tell(2 * interval_ns + 1, PeerChanged(peer="a", state="up", incarnation=2))
    second.fire(3 * interval_ns)
    assert len(second.summaries()) == 2


@pytest.mark.parametrize("factor", [1e-5, 15.0])
def test_what_a_region_tells_is_believed_however_slow_or_fast_it_is(factor: float) -> None:
    """Once a region whose links were dark said what those beside it took for a violation."""
    net = six_nodes()
    speaker = Planner("a", net)
    for link, source in (("ab", "a"), ("bc", "b"), ("cd", "c")):
        speaker.hears(source, measured(link, factor))
    speaker.fire(net.timers.advert_repeat_ns)
    ((_, summary), *_) = speaker.summaries()
    listener = Planner("d", net)
    listener.hears("a", summary)
    assert listener.part.counters["heard"] == 1
    assert 1 / RATIO_MAX <= summary.success_ratio <= RATIO_MAX


def test_links_of_a_region_beside_count_as_it_says_and_own_ones_as_they_say() -> None:
    net = six_nodes()
    one = Planner("a", net)
    one.hears("a", measured("ab", 2.0))
    one.hears("d", told())
    links = one.links()
    assert set(links) == {"ab", "de", "ez"}
    by_file = net.links["de"].point(0)
    assert links["de"].points[0].success_probability == pytest.approx(FILE / 2)
    assert links["de"].points[0].fidelity == pytest.approx(fidelity_at(by_file) - 0.02)
    assert links["ab"].points[0].success_probability == pytest.approx(2 * FILE, rel=1e-2)


def test_a_summary_is_forgotten_after_an_hour_and_replaced_by_a_later_one() -> None:
    one = Planner("a")
    one.hears("d", told(number=2))
    one.hears("d", told(number=1, success_ratio=3.0))
    assert one.part.counters == {"told": 0, "heard": 1, "older": 1}
    one.hears("d", told(number=1, success_ratio=2.0), incarnation=2)
    one.hears("e", told(number=1, success_ratio=1.5))
    assert one.links()["de"].points[0].success_probability == pytest.approx(1.5 * FILE)
    assert one.links(AGE_MAX_NS + 1) == {}


@pytest.mark.parametrize(
    "wrong",
    [
        {"links": 0},
        {"success_ratio": 0.0},
        {"success_ratio": float("nan")},
        {"success_ratio": 1.01 * RATIO_MAX},
        {"fidelity_change": -1.1},
        {"region": "west"},
        {"region": "nowhere"},
    ],
)
def test_what_no_region_can_be_and_who_speaks_for_another_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(PeerViolation):
        Planner("a").hears("d", told(**wrong))


def test_a_plan_avoids_a_region_whose_links_are_slow() -> None:
    """Two ways from a to z of three links each, alike by the lab file."""
    pairs = ["ab", "bc", "cz", "ad", "de", "ez"]
    net = network(*pairs, ends="az")
    regions = {"a": "", "z": "", "b": "north", "c": "north", "d": "south", "e": "south"}
    nodes = {name: replace(node, region=regions[name]) for name, node in net.nodes.items()}
    net = replace(net, nodes=nodes, ledgers="routes")
    ends = replace(net, nodes={name: replace(node, role="end") for name, node in net.nodes.items()})
    for slow, source, way in (("north", "b", "adez"), ("south", "d", "abcz")):
        one = Planner("z", ends)
        one.hears(source, told(region=slow, success_ratio=0.2))
        plan = planned(net, asked("a", "z"), *one.part.news(0))
        assert {frozenset(pair) for pair in pairwise(way)} == {
            frozenset(link.link) for node in plan.nodes.values() for link in node.links
        }
