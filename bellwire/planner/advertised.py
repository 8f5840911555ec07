"""AdvertisedLinks: what links have told this node of themselves, and what of it a plan may count with.

Owns the latest advertisement of each link and its weighing against the lab file. Refuses advertisements of
anybody but side 0 of the link, and planning: a plan is computed from the news as values.

A lab file is a good guess, so it counts as evidence of its own: FILE_HERALDS heralds for a success
probability, a standard error of FILE_FIDELITY_ERROR for a fidelity; a calibrated link says by itself how well
it was known (`LinkSettings.success_error`, `fidelity_error`). Measurements are added to it, and lose
half of their weight every EVIDENCE_HALF_NS: a link that was measured yesterday is a link as in the lab file.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final, Protocol

import msgspec

from bellwire.core.errors import PeerViolation
from bellwire.core.events import Received
from bellwire.core.ids import LinkId, NodeId
from bellwire.core.link_messages import LinkAdvertised, LinkFigures
from bellwire.core.machine import Handler, Step
from bellwire.core.notices import LinkFiguresTold, LinkStateHeard
from bellwire.core.plans import Circumstances, LinkNews, PointNews
from bellwire.core.settings import LinkSettings, NetworkSettings
from bellwire.core.units import NS_PER_S
from bellwire.planner.points import fidelity_at

FILE_HERALDS: Final = 25
"""The success probability of a lab file counts as if so many heralds had shown it: within 20 %."""

FILE_FIDELITY_ERROR: Final = 0.03
"""Standard error that the fidelity of a lab file is given."""

EVIDENCE_HALF_NS: Final = 300 * NS_PER_S
"""Age at which a measurement counts half."""

AGE_MAX_NS: Final = 12 * EVIDENCE_HALF_NS
"""An hour: older measurements count for nothing."""


DOWN_REPEATS: Final = 3
"""A link that was said to be down, and of which nothing was heard for so many repeats, may be up again."""


class KnowsLinks(Protocol):
    """What a planner asks before it plans."""

    def news(self, now_ns: int) -> tuple[LinkNews, ...]:
        """What was learnt of links beyond the lab file."""
        ...

    def down(self, now_ns: int) -> dict[LinkId, str]:
        """Links that make no pairs, and why."""
        ...


@dataclass(frozen=True, slots=True)
class Heard:
    """The latest advertisement of a link."""

    incarnation: int  # of its sender: numbers begin again with each
    advertised: LinkAdvertised
    heard_ns: int


class AdvertisedLinks:
    """Part of every node that plans."""

    def __init__(self, network: NetworkSettings, node: NodeId) -> None:
        self.counters: dict[str, int] = dict.fromkeys(("heard", "older", "ignored"), 0)
        self.heard: dict[LinkId, Heard] = {}  # at most one for each link of the network
        self._network = network
        self._node = node
        self._down_ns = DOWN_REPEATS * network.timers.advert_repeat_ns

    def on_events(self) -> Mapping[type, Handler]:
        return {}

    def on_messages(self) -> Mapping[type, Handler]:
        return {LinkAdvertised: self._on_advertised}

    def on_notices(self) -> Mapping[type, Handler]:
        return {LinkFiguresTold: self._on_told}

    def gives(self) -> frozenset[type]:
        return frozenset({LinkStateHeard})

    def deadline_ns(self) -> int | None:
        return None

    def on_deadline(self, step: Step) -> None:
        """Nothing is ever due."""

    def news(self, now_ns: int) -> tuple[LinkNews, ...]:
        """What a plan made now should know, link by link in the order of the network."""
        down = self.down(now_ns)
        found = (
            learnt(link, known.advertised, now_ns, down=down.get(name, ""))
            for name, link in self._network.links.items()
            if (known := self.heard.get(name)) is not None
        )
        return tuple(each for each in found if each is not None)

    def down(self, now_ns: int) -> dict[LinkId, str]:
        """Links that make no pairs, and why, as far as their side 0 goes on saying so."""
        return {
            name: known.advertised.down
            for name, known in self.heard.items()
            if known.advertised.down and now_ns - known.heard_ns <= self._down_ns
        }

    def _on_told(self, step: Step, notice: LinkFiguresTold) -> None:
        self._take(step, step.incarnation, notice.advertised)

    def _on_advertised(self, step: Step, received: Received) -> None:
        """Raises PeerViolation when side 0 of the link says what no link can be."""
        advertised = received.message
        assert isinstance(advertised, LinkAdvertised)
        link = self._network.links.get(advertised.link)
        if link is None or received.source != link.nodes[0]:
            self.counters["ignored"] += 1
            return
        fault = fault_of(advertised, link)
        if fault is not None:
            raise PeerViolation(received.source, f"advertises {advertised.link} with {fault}")
        self._take(step, received.incarnation, advertised)

    def _take(self, step: Step, incarnation: int, advertised: LinkAdvertised) -> None:
        known = self.heard.get(advertised.link)
        if known is not None and (incarnation, advertised.number) <= (
            known.incarnation,
            known.advertised.number,
        ):
            self.counters["older"] += 1
            return
        self.counters["heard"] += 1
        self.heard[advertised.link] = Heard(incarnation, advertised, step.now_ns)
        before = "" if known is None else known.advertised.down
        if advertised.down != before:
            step.tell(LinkStateHeard(link=advertised.link, down=advertised.down))


def fault_of(advertised: LinkAdvertised, link: LinkSettings) -> str | None:
    """What is wrong with an advertisement; None when nothing is."""
    points = max(1, len(link.points))
    if not 0.0 <= advertised.duty <= 1.0:
        return f"a duty of {advertised.duty}, outside 0..1"
    if not 0 <= advertised.point < points:
        return f"operating point {advertised.point} of {points}"
    if [figures.point for figures in advertised.figures] != list(range(points)):
        return f"figures of points {[figures.point for figures in advertised.figures]}, not 0..{points - 1}"
    for figures in advertised.figures:
        if not 0.0 <= figures.success_probability <= 1.0:
            return f"a success probability of {figures.success_probability}, outside 0..1"
        if not 0.0 <= figures.success_error < float("inf"):
            return f"an error of the success probability of {figures.success_error}"
        if not 0.0 <= figures.fidelity_low <= figures.fidelity <= figures.fidelity_high <= 1.0:
            return (
                f"a fidelity of {figures.fidelity} in {figures.fidelity_low}..{figures.fidelity_high}, "
                "which must be an interval within 0..1"
            )
        if figures.measured < 0 or figures.tested < 0:
            return f"{figures.measured} heralds and {figures.tested} tests"
    return None


def learnt(link: LinkSettings, advertised: LinkAdvertised, now_ns: int, *, down: str = "") -> LinkNews | None:
    """What an advertisement says beyond the lab file, as of now; None when it is nothing."""
    fresh = [
        figures
        for figures in advertised.figures
        if (figures.measured or figures.tested) and now_ns - figures.at_ns <= AGE_MAX_NS
    ]
    if not fresh and advertised.duty == 1.0 and not down:
        return None
    return LinkNews(
        link=link.link,
        points=tuple(_weighed(link, figures, now_ns) for figures in fresh),
        duty=advertised.duty or None,
        measured=sum(figures.measured for figures in fresh),
        tested=sum(figures.tested for figures in fresh),
        age_ns=min((max(0, now_ns - figures.at_ns) for figures in fresh), default=0),
        down=down,
    )


def _weighed(link: LinkSettings, figures: LinkFigures, now_ns: int) -> PointNews:
    """File and measurement together, each by its weight."""
    point = link.point(figures.point)
    kept = 2.0 ** (-max(0, now_ns - figures.at_ns) / EVIDENCE_HALF_NS)
    return PointNews(
        point=figures.point,
        success_probability=_success_probability(
            point.success_probability, _heralds_behind(link), figures, kept
        ),
        fidelity=_fidelity(fidelity_at(point), link.fidelity_error or FILE_FIDELITY_ERROR, figures, kept),
    )


def _heralds_behind(link: LinkSettings) -> float:
    """How many heralds the success probability of a link's settings counts as."""
    if not link.success_error:
        return FILE_HERALDS
    return (link.success_probability / link.success_error) ** 2


def _success_probability(by_file: float, behind: float, figures: LinkFigures, kept: float) -> float:
    """Heralds over attempts, those that the file stands for among them (a gamma prior of its mean).

    The measurement counts as (p/error)^2 heralds, which for a plain count is their number.
    """
    measured, error = figures.success_probability, figures.success_error
    if not figures.measured or measured <= 0.0 or error <= 0.0:
        return by_file
    heralds = kept * (measured / error) ** 2
    return (behind + heralds) / (behind / by_file + heralds / measured)


def _fidelity(by_file: float, file_error: float, figures: LinkFigures, kept: float) -> float:
    """Mean of file and measurement, weighted by one over the squared error."""
    error = figures.fidelity_error
    if not figures.tested or error <= 0.0:
        return by_file
    weight, own = kept / error**2, 1.0 / file_error**2
    return (own * by_file + weight * figures.fidelity) / (own + weight)


def with_down(links: tuple[LinkNews, ...], down: Iterable[LinkId]) -> tuple[LinkNews, ...]:
    """The news, and beside it that these links make no pairs."""
    told = {each.link: each for each in links}
    for link in down:
        known = told.get(link)
        if known is None:
            known = LinkNews(link=link, points=(), duty=None, measured=0, tested=0, age_ns=0)
        told[link] = msgspec.structs.replace(known, down=known.down or "told by the source")
    return tuple(told.values())


def gone(circumstances: Circumstances) -> str:
    """Nodes and links that a plan should do without, in words; "": none."""
    links = [f"link {each.link}" for each in circumstances.links if each.down]
    return ", ".join([*circumstances.avoid, *links])


def dark_links(circumstances: Circumstances) -> tuple[LinkNews, ...]:
    """That these links are down, and nothing else of what they advertise."""
    return tuple(
        LinkNews(link=each.link, points=(), duty=None, measured=0, tested=0, age_ns=0, down=each.down)
        for each in circumstances.links
        if each.down
    )
