"""LinkAdvertising: side 0 of a link tells every node that plans what the link can do.

Owns when figures are worth telling, their numbering, and who is told. Refuses to measure (the figures are the
link end's own) and to judge what a planner makes of them. A link of which nothing was measured and which may
attempt all the time says nothing: its figures are those of the lab file, which every planner has. A link that
makes no pairs any more says so at once, and says when it does again; sources and destinations of plans that
use it hear of that too, wherever they are.

Bounds: each link is looked at once every `advert_look_ns` and then sends at most one advertisement to each
planning node, and one more to a node that has just restarted.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final, Protocol

from bellwire.core.bell import Walsh, fidelity_of
from bellwire.core.effects import Report
from bellwire.core.events import Started
from bellwire.core.ids import LinkId, NodeId, RequestId
from bellwire.core.link_messages import LinkAdvertised, LinkFigures
from bellwire.core.machine import Handler, Step
from bellwire.core.notices import (
    LinkFiguresTold,
    LinkStateTold,
    PeerRestarted,
    PlanInstalled,
    PlanRemoved,
)
from bellwire.core.plans import NodePlan
from bellwire.core.settings import LinkSettings, NetworkSettings

DUTY_STEP: Final = 0.02
"""A share of time that changed by less is not news."""


class AdvertisedEnd(Protocol):
    """What is read of a link end."""

    settings: LinkSettings
    side: int

    def figures(self) -> tuple[LinkFigures, ...]:
        """How fast and how good the link is, at each operating point."""
        ...

    def duty(self) -> float:
        """Share of the time in which the link may attempt, 0..1; 0: nobody wants it at the moment."""
        ...

    def point_in_force(self) -> int | None:
        """The operating point of the newest window, None: nobody wants the link at the moment."""
        ...

    def down(self) -> str:
        """Why no pair can be had of the link at present; "": as far as is known, pairs can."""
        ...


def may_have_news(link: LinkSettings) -> bool:
    """True when a link can ever differ from its lab file: it tests pairs, takes turns, or has a choice of
    operating points. Nobody looks at the others."""
    return link.test_share > 0.0 or link.turn_ns > 0 or len(link.points) > 1


def modelled_figures(link: LinkSettings) -> tuple[LinkFigures, ...]:
    """Figures of a link as its settings say, modelled or calibrated, nothing measured by the link itself;
    herald codes come equally often."""
    found: list[LinkFigures] = []
    for index in range(max(1, len(link.points))):
        point = link.point(index)
        fidelities = [fidelity_of(Walsh(herald.signs, herald.cost)) for herald in point.heralds]
        fidelity = sum(fidelities) / len(fidelities)
        found.append(
            LinkFigures(
                point=index,
                name=point.name,
                success_probability=point.success_probability,
                success_error=0.0 if link.points else link.success_error or 0.0,
                fidelity=fidelity,
                fidelity_low=fidelity,
                fidelity_high=fidelity,
                measured=0,
                tested=0,
                at_ns=0,
            )
        )
    return tuple(found)


def moved(new: LinkFigures, old: LinkFigures) -> bool:
    """True when a measured figure differs from what was told by more than its own error."""
    if new.measured and abs(new.success_probability - old.success_probability) > new.success_error:
        return True
    return new.tested > 0 and abs(new.fidelity - old.fidelity) > new.fidelity_error


@dataclass(slots=True)
class Advert:
    """What was told of one link, and when."""

    told: LinkAdvertised
    at_ns: int | None = None  # None: never; `told` is then what the lab file says


class LinkAdvertising:
    """Part of every node with a memory; it speaks for the links of which the node is side 0."""

    def __init__(self, network: NetworkSettings, node: NodeId, ends: Mapping[LinkId, AdvertisedEnd]) -> None:
        self.counters: dict[str, int] = dict.fromkeys(("adverts", "repeats"), 0)
        self._timers = network.timers
        self._planners = network.hears_of_links(node)
        self._own = node in self._planners
        self._all = {name: end for name, end in ends.items() if end.side == 0}
        self._ends = {name: end for name, end in self._all.items() if may_have_news(end.settings)}
        self._adverts = {
            name: Advert(_advert(end.settings, 0, 1.0, 0, modelled_figures(end.settings)))
            for name, end in self._all.items()
        }
        self._served: dict[RequestId, NodePlan] = {}  # plans that this node has a part in
        self._due_ns: int | None = None  # None: not started, or nothing to speak for

    def on_events(self) -> Mapping[type, Handler]:
        return {Started: self._started}

    def on_messages(self) -> Mapping[type, Handler]:
        return {}

    def on_notices(self) -> Mapping[type, Handler]:
        return {
            PeerRestarted: self._peer_restarted,
            LinkStateTold: self._state_told,
            PlanInstalled: self._plan_installed,
            PlanRemoved: self._plan_removed,
        }

    def gives(self) -> frozenset[type]:
        return frozenset({LinkFiguresTold} if self._own else ())

    def deadline_ns(self) -> int | None:
        return self._due_ns

    def on_deadline(self, step: Step) -> None:
        """Look at every link, and tell what is worth it."""
        self._due_ns = step.now_ns + self._timers.advert_look_ns
        for name, end in self._ends.items():
            self._look(step, end, self._adverts[name])

    def _state_told(self, step: Step, notice: LinkStateTold) -> None:
        """Whoever plans with a link must not learn last that it makes no pairs."""
        end = self._all.get(notice.link)
        if end is None:
            return  # the node of the other end speaks for it
        self._ends[notice.link] = end
        if self._due_ns is None:
            self._due_ns = step.now_ns + self._timers.advert_look_ns
        self._look(step, end, self._adverts[notice.link])
        if not end.down() and not may_have_news(end.settings):
            del self._ends[notice.link]  # it has said all that it may ever have to say

    def _plan_installed(self, step: Step, notice: PlanInstalled) -> None:
        self._served[notice.plan.request] = notice.plan

    def _plan_removed(self, step: Step, notice: PlanRemoved) -> None:
        self._served.pop(notice.request, None)

    def _started(self, step: Step, event: Started) -> None:
        if self._ends:
            self._due_ns = step.now_ns + self._timers.advert_look_ns

    def _look(self, step: Step, end: AdvertisedEnd, advert: Advert) -> None:
        told = advert.told
        figures, duty, point = end.figures(), end.duty(), end.point_in_force()
        if point is None:
            point = told.point
        down = end.down()
        news = (
            point != told.point
            or down != told.down
            or abs(duty - told.duty) >= DUTY_STEP
            or any(moved(new, old) for new, old in zip(figures, told.figures, strict=True))
        )
        if not news and advert.at_ns is None:
            if not any(each.measured or each.tested for each in figures):
                return
        elif not news and advert.at_ns is not None:
            if step.now_ns < advert.at_ns + self._timers.advert_repeat_ns:
                return
            self.counters["repeats"] += 1
        self.counters["adverts"] += 1
        advert.told = _advert(end.settings, told.number + 1, duty, point, figures, down)
        advert.at_ns = step.now_ns
        turned = down != told.down
        hearers = dict.fromkeys(self._planners)
        if turned:
            hearers |= dict.fromkeys(self._concerned(end.settings.link))
        for planner in hearers:
            if planner != step.node:
                step.send(planner, advert.told, "delivery" if turned else "digest")
        if self._own:
            step.tell(LinkFiguresTold(advertised=advert.told))
        step.order(_report(advert.told))

    def _concerned(self, link: LinkId) -> Iterator[NodeId]:
        """Sources and destinations of the plans that use a link."""
        for plan in self._served.values():
            if any(part.link == link for part in plan.links):
                yield plan.source
                yield from (route[-1] for route in plan.routes)

    def _peer_restarted(self, step: Step, notice: PeerRestarted) -> None:
        """A planner that came back knows nothing but the lab file."""
        if notice.peer in self._planners:
            for advert in self._adverts.values():
                if advert.at_ns is not None:
                    step.send(notice.peer, advert.told, "digest")


def _advert(
    link: LinkSettings,
    number: int,
    duty: float,
    point: int,
    figures: tuple[LinkFigures, ...],
    down: str = "",
) -> LinkAdvertised:
    return LinkAdvertised(
        link=link.link,
        number=number,
        period_ns=link.period_ns,
        lanes=link.lanes,
        duty=duty,
        point=point,
        figures=figures,
        down=down,
    )


def _report(told: LinkAdvertised) -> Report:
    """For people: the figures of the operating point in force."""
    figures = told.figures[told.point]
    return Report(
        name="link_advertised",
        request=None,
        fields={
            "link": told.link,
            "number": told.number,
            "point": figures.name,
            "duty": told.duty,
            "success_probability": figures.success_probability,
            "success_error": figures.success_error,
            "fidelity": figures.fidelity,
            "fidelity_low": figures.fidelity_low,
            "fidelity_high": figures.fidelity_high,
            "measured": figures.measured,
            "tested": figures.tested,
            "down": told.down or None,
        },
    )
