"""Which plans a loss breaks, who is told, and that plans keep off what is known to be gone."""

from dataclasses import dataclass, field

import pytest
from msgspec.structs import replace

from bellwire.core.events import PeerChanged, Received, Started
from bellwire.core.link_messages import LinkAdvertised
from bellwire.core.machine import Handler, Step
from bellwire.core.messages import PlanProposed, PlanWanted
from bellwire.core.notices import LinkStateHeard, PeerLost, PlanActive, RouteBroken
from bellwire.core.plans import Circumstances, EntanglementRequest, RequestPlan, store_request
from bellwire.core.settings import NetworkSettings
from bellwire.link_layer.advertising import modelled_figures
from bellwire.node.routing import NodeMachine
from bellwire.planner.advertised import DOWN_REPEATS, AdvertisedLinks, dark_links, with_down
from bellwire.planner.broken_routes import BrokenRoutes, broken_by
from bellwire.planner.fusion_plans import ORDERS
from bellwire.planner.plans import compute_plan
from bellwire.planner.protocols import Messaging, PlanDispatch
from tests.link_layer.lone import Lone
from tests.planner.plan_bench import Listener
from tests.planner.test_advertised import asked, network, planned

SECOND = 1_000_000_000
NET = network("ab", "bz", "ac", "cz", ends="az")
"""Two ways from a to z: over b and over c."""


def down(link: str, reason: str = "no herald", number: int = 1) -> LinkAdvertised:
    settings = NET.links[link]
    return LinkAdvertised(
        link=link,
        number=number,
        period_ns=settings.period_ns,
        lanes=1,
        duty=1.0,
        point=0,
        figures=modelled_figures(settings),
        down=reason,
    )


@dataclass
class Pursued:
    plan: RequestPlan | None


@dataclass
class Book:
    """Plans of a source, as the test says."""

    plans: list[RequestPlan | None] = field(default_factory=list)

    def pursued(self) -> tuple[Pursued, ...]:
        return tuple(Pursued(plan) for plan in self.plans)


@dataclass
class Ear:
    broken: list[RouteBroken] = field(default_factory=list)

    def on_events(self) -> dict[type, Handler]:
        return {}

    def on_messages(self) -> dict[type, Handler]:
        return {}

    def on_notices(self) -> dict[type, Handler]:
        return {
            RouteBroken: lambda step, notice: self.broken.append(notice),
            LinkStateHeard: lambda step, notice: None,
        }

    def gives(self) -> frozenset[type]:
        return frozenset({PlanActive, PeerLost})

    def deadline_ns(self) -> int | None:
        return None

    def on_deadline(self, step: Step) -> None:
        pass


class Source(Lone):
    def __init__(self, *plans: RequestPlan | None, net: NetworkSettings = NET) -> None:
        self.book, self.ear = Book(list(plans)), Ear()
        self.advertised = AdvertisedLinks(net, "a")
        self.part = BrokenRoutes(net, self.book, self.advertised)
        super().__init__("a", NodeMachine("a", [self.advertised, self.part, self.ear]))
        self.tell(0, Started(incarnation=1))

    def changed(self, peer: str, state: str) -> None:
        if state == "down":
            self.machine._step.tell(PeerLost(peer=peer))
        self.tell(SECOND, PeerChanged(peer=peer, state=state, incarnation=1))  # type: ignore[arg-type]


def over_b() -> RequestPlan:
    return planned(NET, asked(route=("a", "b", "z")))


def test_a_dark_link_breaks_the_plans_that_use_it_once() -> None:
    source = Source(over_b(), None)
    source.hear(SECOND, "a", down("ac"))
    assert source.ear.broken == []
    source.hear(SECOND, "b", down("bz"))
    source.hear(2 * SECOND, "b", down("bz", number=2))
    ((broken),) = source.ear.broken
    assert (broken.request, broken.reason) == ("r", "link bz is down: no herald")


@pytest.mark.parametrize(
    ("peer", "reason"),
    [("b", "b does not answer"), ("z", "z does not answer"), ("c", None)],
)
def test_a_lost_node_breaks_the_plans_that_it_has_a_part_in(peer: str, reason: str | None) -> None:
    source = Source(over_b())
    source.changed(peer, "suspect")
    assert source.ear.broken == []
    source.changed(peer, "down")
    source.changed(peer, "down")
    assert [each.reason for each in source.ear.broken] == ([] if reason is None else [reason])
    source.changed(peer, "up")
    source.changed(peer, "down")
    assert len(source.ear.broken) == (0 if reason is None else 2)


def test_a_lost_station_breaks_plans_over_its_link() -> None:
    links = {name: replace(link, station=f"s_{name}") for name, link in NET.links.items()}
    source = Source(over_b(), net=replace(NET, links=links))
    source.changed("s_cz", "down")
    source.changed("s_bz", "down")
    assert [each.reason for each in source.ear.broken] == ["link bz is down: station s_bz does not answer"]


def test_a_plan_that_was_agreed_on_while_its_link_went_dark_is_told_of_it() -> None:
    source = Source()
    source.hear(SECOND, "b", down("bz"))
    source.machine._step.tell(PlanActive(plan=over_b()))
    source.hear(SECOND, "b", down("bz", number=2))
    assert [each.reason for each in source.ear.broken] == ["link bz is down: no herald"]


def test_pairs_for_a_store_are_no_business_of_requests() -> None:
    source = Source(replace(over_b(), request=store_request("a", "z")))
    source.changed("b", "down")
    assert source.ear.broken == []


def test_a_link_of_which_nothing_more_is_heard_may_be_up_again() -> None:
    source = Source()
    source.hear(SECOND, "b", down("bz"))
    heard_for = DOWN_REPEATS * NET.timers.advert_repeat_ns
    assert source.advertised.down(SECOND + heard_for) == {"bz": "no herald"}
    assert source.advertised.down(SECOND + heard_for + 1) == {}
    assert [each.down for each in source.advertised.news(SECOND)] == ["no herald"]
    assert source.advertised.news(SECOND + heard_for + 1) == ()


def test_a_plan_keeps_off_dark_links_of_its_own_and_of_its_sources_hearing() -> None:
    dark = with_down((), ("bz",))
    plan = compute_plan(NET, asked(), 1, Circumstances(links=dark))
    assert isinstance(plan, RequestPlan)
    assert sorted(plan.nodes) == ["a", "c", "z"]
    none = compute_plan(NET, asked(), 1, Circumstances(links=with_down(dark, ("ac",))))
    assert none == "no route between a and z"
    assert [each.link for each in dark_links(Circumstances(links=dark))] == ["bz"]


def test_a_ghz_state_keeps_off_dark_links_too() -> None:
    net = network("ab", "bz", "bd", "ac", "cz", "cd", ends="azd")
    wish = EntanglementRequest(
        request_id="g",
        target_nodes=("a", "d", "z"),
        entanglement_type="ghz",
        generation_mode=next(iter(ORDERS)),
        count=1,
    )
    plan = compute_plan(net, wish, 1, Circumstances(links=with_down((), ("bz",))))
    assert isinstance(plan, RequestPlan), plan
    used = {part.link for node in plan.nodes.values() for part in node.links}
    assert "bz" not in used


class Destination(Lone):
    """z, which computes."""

    def __init__(self) -> None:
        self.advertised = AdvertisedLinks(NET, "z")
        dispatch = PlanDispatch(
            NET,
            "z",
            lambda request, version, known: compute_plan(NET, request, version, known),
            Messaging(NET, "z"),
            self.advertised,
        )
        super().__init__("z", NodeMachine("z", [self.advertised, dispatch, Listener()]))
        self.tell(0, Started(incarnation=1))

    def propose(
        self, *, strict: bool, avoid: tuple[str, ...] = (), dark: tuple[str, ...] = ()
    ) -> PlanProposed:
        self.take()
        known = Circumstances(avoid=avoid, down=dark)
        wanted = PlanWanted(request=asked(), version=1, circumstances=known, strict=strict)
        self.tell(SECOND, Received(source="a", incarnation=1, message=wanted))
        (proposed,) = self.sent(PlanProposed)
        return proposed


def test_a_strict_wish_gets_no_plan_through_what_is_gone_and_is_told_what_that_is() -> None:
    destination = Destination()
    destination.hear(SECOND, "c", down("cz"))
    around = destination.propose(strict=True)
    assert around.plan is not None
    assert sorted(around.plan.nodes) == ["a", "b", "z"]
    none = destination.propose(strict=True, dark=("bz",))
    assert (none.plan, none.unreachable, none.final) == (None, True, False)
    assert none.reason == "no way round link cz, link bz: no route between a and z"
    lost = destination.propose(strict=True, avoid=("b",))
    assert lost.reason == "no way round b, link cz: no route between a and z"


def test_a_wish_that_may_wait_gets_a_plan_through_what_is_gone_when_there_is_no_other() -> None:
    destination = Destination()
    anyway = destination.propose(strict=False, dark=("bz", "cz"))
    assert anyway.plan is not None
    assert not anyway.unreachable


def test_what_a_plan_cannot_do_without_is_named() -> None:
    plan = over_b()
    assert broken_by(plan, NET.links, set(), {}) is None
    assert broken_by(plan, NET.links, {"c"}, {"ac": "cut"}) is None
    assert broken_by(plan, NET.links, {"b"}, {"ab": "cut"}) == "b does not answer"
