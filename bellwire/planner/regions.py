"""RegionNews: what the planners of one region tell those of the next about all of their links together.

Where ledgers keep to routes a planner hears what links of its own region can do (`advertised.py`). Of the
regions that its own is linked to it hears one summary each: how much faster and how much better links there
are than their lab file says, on average. A plan that leads on into such a region counts with that.

Owns who speaks for a region, the summary, and what a plan makes of it. Refuses figures of single links.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import exp, isfinite, log
from typing import Final

from bellwire.core.errors import PeerViolation
from bellwire.core.events import PeerChanged, Received, Started
from bellwire.core.ids import LinkId, NodeId
from bellwire.core.link_messages import RegionTold
from bellwire.core.machine import Handler, Step
from bellwire.core.plans import LinkNews, PointNews
from bellwire.core.settings import LinkSettings, NetworkSettings
from bellwire.planner.advertised import AGE_MAX_NS, AdvertisedLinks
from bellwire.planner.points import fidelity_at

RATIO_MAX: Final = 20.0
"""Links that are so many times as fast as their lab file says, or as slow, are a mistake and no news."""

FIDELITY_MIN: Final = 0.25
"""Of a pair without any correlation."""


@dataclass(frozen=True, slots=True)
class Summary:
    """The latest word of a region."""

    incarnation: int  # of its sender: numbers begin again with each
    source: NodeId
    told: RegionTold


class RegionNews:
    """Part of every node that plans, where ledgers keep to routes."""

    def __init__(self, network: NetworkSettings, node: NodeId, advertised: AdvertisedLinks) -> None:
        self.counters: dict[str, int] = dict.fromkeys(("told", "heard", "older"), 0)
        self.heard: dict[str, Summary] = {}  # at most one for each region
        self._network = network
        self._node = node
        self._advertised = advertised
        self._region = network.nodes[node].region
        self._planners = network.hears_of_links(node)
        self._neighbours = _planners_beside(network, node)
        self._lost: set[NodeId] = set()
        self._number = 0
        self._interval_ns = network.timers.advert_repeat_ns
        self._due_ns: int | None = None  # None: not started, or there is no region beside this one

    def on_events(self) -> Mapping[type, Handler]:
        """Started begins the round; of several planners the first one that is there speaks."""
        return {Started: self._on_started, PeerChanged: self._on_peer_changed}

    def on_messages(self) -> Mapping[type, Handler]:
        return {RegionTold: self._on_told}

    def on_notices(self) -> Mapping[type, Handler]:
        return {}

    def gives(self) -> frozenset[type]:
        return frozenset()

    def deadline_ns(self) -> int | None:
        return self._due_ns

    def on_deadline(self, step: Step) -> None:
        """Tell the regions beside this one, if there is anything to tell and nobody before us to do it."""
        if self._due_ns is None or step.now_ns < self._due_ns:
            return
        self._due_ns = step.now_ns + self._interval_ns
        if self._speaker() != self._node:
            return
        told = self._summary(step.now_ns)
        if told is not None:
            self.counters["told"] += 1
            for planner in self._neighbours:
                step.send(planner, told, "digest")

    def down(self, now_ns: int) -> dict[LinkId, str]:
        """Links that make no pairs, and why."""
        return self._advertised.down(now_ns)

    def news(self, now_ns: int) -> tuple[LinkNews, ...]:
        """What a plan made now should know: of own links what they told, of others what their region told."""
        found = self._advertised.news(now_ns)
        fresh = {name: one.told for name, one in self.heard.items() if now_ns - one.told.at_ns <= AGE_MAX_NS}
        if not fresh:
            return found
        known = {each.link for each in found}
        nodes = self._network.nodes
        return found + tuple(
            _as_its_region(link, told, now_ns)
            for name, link in self._network.links.items()
            if name not in known and (told := fresh.get(nodes[link.nodes[0]].region)) is not None
        )

    def _speaker(self) -> NodeId | None:
        return next((name for name in self._planners if name not in self._lost), None)

    def _summary(self, now_ns: int) -> RegionTold | None:
        """Means over all links of the region; one that was never measured counts as in its lab file."""
        network, region = self._network, self._region
        own = [
            link for link in _links_of(network, self._node) if network.nodes[link.nodes[0]].region == region
        ]
        measured = {each.link: each for each in self._advertised.news(now_ns) if each.points}
        ratios, changes, newest_ns = 0.0, 0.0, 0
        counted = 0
        for link in own:
            news = measured.get(link.link)
            if news is None:
                continue
            counted += 1
            newest_ns = max(newest_ns, now_ns - news.age_ns)
            size = len(news.points)
            for each in news.points:
                by_file = link.point(each.point)
                ratios += log(each.success_probability / by_file.success_probability) / size
                changes += (each.fidelity - fidelity_at(by_file)) / size
        if not counted:
            return None
        self._number += 1
        return RegionTold(
            region=region,
            number=self._number,
            links=counted,
            # A region that is dark is told as slow as a region can be, not as what nobody would believe.
            success_ratio=min(RATIO_MAX, max(1.0 / RATIO_MAX, exp(ratios / len(own)))),
            fidelity_change=changes / len(own),
            at_ns=newest_ns,
        )

    def _on_started(self, step: Step, event: Started) -> None:
        if self._neighbours:
            self._due_ns = step.now_ns + self._interval_ns

    def _on_peer_changed(self, step: Step, event: PeerChanged) -> None:
        if event.state == "down":
            self._lost.add(event.peer)
        else:
            self._lost.discard(event.peer)

    def _on_told(self, step: Step, received: Received) -> None:
        """Raises PeerViolation when somebody speaks for another region, or says what no region can be."""
        told = received.message
        assert isinstance(told, RegionTold)
        source = self._network.nodes[received.source]
        if source.region != told.region or source.role != "end":
            raise PeerViolation(
                received.source, f"speaks for region {told.region}, of which it plans nothing"
            )
        fault = fault_of(told)
        if fault is not None:
            raise PeerViolation(received.source, f"tells of region {told.region} {fault}")
        known = self.heard.get(told.region)
        if (
            known is not None
            and known.source == received.source
            and (received.incarnation, told.number) <= (known.incarnation, known.told.number)
        ):
            self.counters["older"] += 1
            return
        self.counters["heard"] += 1
        self.heard[told.region] = Summary(received.incarnation, received.source, told)


def fault_of(told: RegionTold) -> str | None:
    """What is wrong with a summary; None when nothing is."""
    if told.links < 1:
        return f"figures of {told.links} links"
    if not (isfinite(told.success_ratio) and 1.0 / RATIO_MAX <= told.success_ratio <= RATIO_MAX):
        return f"links that are {told.success_ratio} times as fast as expected"
    if not -1.0 <= told.fidelity_change <= 1.0:
        return f"pairs whose fidelity differs by {told.fidelity_change}"
    return None


def _as_its_region(link: LinkSettings, told: RegionTold, now_ns: int) -> LinkNews:
    points = range(max(1, len(link.points)))
    return LinkNews(
        link=link.link,
        points=tuple(
            PointNews(
                point=index,
                success_probability=min(1.0, link.point(index).success_probability * told.success_ratio),
                fidelity=min(1.0, max(FIDELITY_MIN, fidelity_at(link.point(index)) + told.fidelity_change)),
            )
            for index in points
        ),
        duty=None,
        measured=0,
        tested=0,
        age_ns=max(0, now_ns - told.at_ns),
    )


def _links_of(network: NetworkSettings, node: NodeId) -> list[LinkSettings]:
    """Links with an end in the node's region."""
    names = {name for each in network.region_of(node) for name in network.nodes[each].links}
    return [network.links[name] for name in sorted(names)]


def _planners_beside(network: NetworkSettings, node: NodeId) -> tuple[NodeId, ...]:
    """Planners of all regions that a link leads to."""
    region = network.nodes[node].region
    beyond: dict[str, NodeId] = {}
    for link in _links_of(network, node):
        for end in link.nodes:
            if network.nodes[end].region != region:
                beyond.setdefault(network.nodes[end].region, end)
    return tuple(name for end in beyond.values() for name in network.hears_of_links(end))
