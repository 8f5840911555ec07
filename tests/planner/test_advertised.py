"""What a planner makes of what links tell of themselves.

Owns the tests of planner/advertised.py and planner/points.py, and of plans that rest on them.
"""

from itertools import pairwise
from typing import Any

import msgspec
import pytest

from bellwire.core.bell import Walsh, fidelity_of, to_walsh, werner
from bellwire.core.errors import PeerViolation
from bellwire.core.events import Received, Started
from bellwire.core.link_messages import LinkAdvertised, LinkFigures
from bellwire.core.messages import PlanProposed, PlanWanted
from bellwire.core.plans import Circumstances, EntanglementRequest, LinkNews, PointNews, RequestPlan
from bellwire.core.settings import (
    HeraldEstimate,
    LinkSettings,
    MemorySettings,
    NetworkSettings,
    NodeSettings,
    OperatingPoint,
)
from bellwire.core.units import NS_PER_S
from bellwire.link_layer.estimation.operating_point import Candidate, chosen_point
from bellwire.node.routing import NodeMachine
from bellwire.planner.advertised import AGE_MAX_NS, EVIDENCE_HALF_NS, AdvertisedLinks, learnt
from bellwire.planner.lane_times import link_latency_s, link_state
from bellwire.planner.plans import compute_plan
from bellwire.planner.points import as_planned, fidelity_at, fidelity_wish, floors, with_fidelity
from bellwire.planner.protocols import Messaging, PlanDispatch
from tests.link_layer.lone import Lone
from tests.planner.plan_bench import Listener

PERIOD_NS = 100_000
FILE = 0.05
"""Success probability of every link by the lab file."""


def herald(fidelity: float) -> HeraldEstimate:
    walsh = to_walsh(werner(fidelity))
    return HeraldEstimate(code=1, frame=2, signs=walsh.signs, cost=walsh.cost)


def point(name: str, success_probability: float, fidelity: float) -> OperatingPoint:
    return OperatingPoint(
        name=name, success_probability=success_probability, heralds=(herald(fidelity),), settings={}
    )


def network(*pairs: str, ends: str = "az", **link_terms: Any) -> NetworkSettings:
    """Links named by their two nodes, alike and without delays; nodes whose memories are perfect."""
    memory = MemorySettings(
        slots=8,
        rates=(0, 0, 0),
        bsm_signs=0,
        bsm_cost=(0, 0, 0),
        bsm_success_probability=1.0,
        operation_limit_ns=1_000_000,
    )
    links = {
        pair: LinkSettings(
            **{
                "link": pair,
                "nodes": (pair[0], pair[1]),
                "station": None,
                "period_ns": PERIOD_NS,
                "lanes": 1,
                "slots": ((0,), (0,)),
                "success_probability": FILE,
                "heralds": (herald(0.95),),
                "click_delay_ns": PERIOD_NS,
                "herald_delay_ns": (0, 0),
                "length_km": 0.0,
            }
            | link_terms
        )
        for pair in pairs
    }
    nodes = {
        name: NodeSettings(
            name=name,
            role="end" if name in ends else "repeater",
            memory=memory,
            links=tuple(pair for pair in pairs if name in pair),
        )
        for name in sorted(set("".join(pairs)))
    }
    return NetworkSettings(nodes=nodes, links=links, delays_ns={a: dict.fromkeys(nodes, 0) for a in nodes})


def asked(source: str = "a", target: str = "z", **terms: Any) -> EntanglementRequest:
    return EntanglementRequest(request_id="r", target_nodes=(source, target), count=1, **terms)


def planned(net: NetworkSettings, request: EntanglementRequest, *news: LinkNews) -> RequestPlan:
    plan = compute_plan(net, request, 1, Circumstances(links=news))
    assert isinstance(plan, RequestPlan), plan
    return plan


def news_of(
    link: str, success_probability: float, fidelity: float = 0.95, duty: float | None = None
) -> LinkNews:
    known = PointNews(point=0, success_probability=success_probability, fidelity=fidelity)
    return LinkNews(link=link, points=(known,), duty=duty, measured=1000, tested=0, age_ns=0)


def advert(
    link: str = "az",
    number: int = 1,
    *,
    duty: float = 1.0,
    at: int = 0,
    figures: dict[str, Any] | None = None,
) -> LinkAdvertised:
    """100 heralds of 2000 attempts, no test, unless the figures say otherwise."""
    known: dict[str, Any] = {
        "point": 0,
        "name": "only",
        "success_probability": 0.05,
        "success_error": 0.005,
        "fidelity": 0.95,
        "fidelity_low": 0.95,
        "fidelity_high": 0.95,
        "measured": 100,
        "tested": 0,
        "at_ns": 0,
    }
    one = LinkFigures(**(known | (figures or {})))
    return LinkAdvertised(
        link=link, number=number, period_ns=PERIOD_NS, lanes=1, duty=duty, point=at, figures=(one,)
    )


# --- hearing ----------------------------------------------------------------------------------------------


class Hearer(Lone):
    """The part alone, at node z of the link a - z."""

    def __init__(self, net: NetworkSettings | None = None) -> None:
        self.part = AdvertisedLinks(net or network("az", "ab"), "z")
        super().__init__("z", NodeMachine("z", [self.part]))
        self.tell(0, Started(incarnation=1))

    def hears(self, source: str, one: LinkAdvertised, incarnation: int = 1) -> None:
        self.tell(0, Received(source=source, incarnation=incarnation, message=one))

    def number(self) -> int:
        return self.part.heard["az"].advertised.number


def test_only_side_0_of_a_link_may_advertise_it() -> None:
    hearer = Hearer()
    for source, link in (("z", "az"), ("b", "az"), ("a", "bz"), ("b", "ab")):
        hearer.hears(source, advert(link))
    assert hearer.part.heard == {}
    assert hearer.part.counters == {"heard": 0, "older": 0, "ignored": 4}
    hearer.hears("a", advert("az"))
    assert list(hearer.part.heard) == ["az"]


def test_the_latest_number_wins_whatever_the_order_of_arrival() -> None:
    hearer = Hearer()
    for number in (2, 3, 1, 3):
        hearer.hears("a", advert(number=number))
    assert hearer.number() == 3
    assert hearer.part.counters == {"heard": 2, "older": 2, "ignored": 0}


def test_a_sender_that_restarted_counts_from_one_again_and_its_former_life_is_over() -> None:
    hearer = Hearer()
    hearer.hears("a", advert(number=9), incarnation=1)
    hearer.hears("a", advert(number=1), incarnation=2)
    assert hearer.number() == 1
    hearer.hears("a", advert(number=10), incarnation=1)
    assert hearer.number() == 1


@pytest.mark.parametrize(
    ("terms", "problem"),
    [
        ({"duty": 1.5}, "a duty of 1.5"),
        ({"duty": float("nan")}, "a duty of nan"),
        ({"at": 1}, "operating point 1 of 1"),
        ({"figures": {"point": 3}}, "figures of points [3]"),
        ({"figures": {"success_probability": -0.1}}, "success probability of -0.1"),
        ({"figures": {"success_error": float("inf")}}, "error of the success probability of inf"),
        ({"figures": {"fidelity_high": 0.9}}, "must be an interval"),
        ({"figures": {"fidelity": float("nan")}}, "must be an interval"),
        ({"figures": {"measured": -1}}, "-1 heralds"),
    ],
)
def test_figures_that_no_link_can_have_are_a_violation_and_change_nothing(
    terms: dict[str, Any], problem: str
) -> None:
    hearer = Hearer()
    with pytest.raises(PeerViolation) as refused:
        hearer.hears("a", advert(**terms))
    assert problem in str(refused.value)
    assert hearer.part.heard == {}


# --- weighing against the lab file ------------------------------------------------------------------------


def weighed(now_ns: int = 0, **figures: Any) -> PointNews:
    link = msgspec.structs.replace(network("az").links["az"], success_probability=0.1)
    news = learnt(link, advert(figures=figures), now_ns)
    assert news is not None
    return news.points[0]


def test_the_file_counts_as_25_heralds_beside_those_that_were_measured() -> None:
    # 25 heralds in 250 attempts by the file, 100 in 2000 measured.
    assert weighed().success_probability == pytest.approx(125 / 2250)
    # A link that never heralded for long must not look as in the file: 4 heralds in 4000 attempts.
    few = weighed(success_probability=0.001, success_error=0.0005, measured=4)
    assert few.success_probability == pytest.approx(29 / 4250)


def test_a_measurement_counts_half_after_five_minutes_and_nothing_after_an_hour() -> None:
    later = weighed(EVIDENCE_HALF_NS).success_probability
    assert later == pytest.approx((25 + 50) / (250 + 1000))
    link = network("az").links["az"]
    assert learnt(link, advert(), AGE_MAX_NS) is not None
    assert learnt(link, advert(), AGE_MAX_NS + 1) is None
    assert EVIDENCE_HALF_NS == 300 * NS_PER_S
    nearly = learnt(msgspec.structs.replace(link, success_probability=0.1), advert(), AGE_MAX_NS)
    assert nearly is not None
    assert nearly.points[0].success_probability == pytest.approx(0.1, rel=0.001)


def test_fidelities_are_weighed_by_their_errors() -> None:
    # Two errors of 0.03: half way. 1.96 errors to each side are 95 %.
    half_width = 0.03 * 1.959964
    alike: dict[str, Any] = {
        "fidelity": 0.85,
        "fidelity_low": 0.85 - half_width,
        "fidelity_high": 0.85 + half_width,
    }
    assert weighed(tested=50, **alike).fidelity == pytest.approx((0.95 + 0.85) / 2)
    # Half the evidence: an error of sqrt(2) x 0.03.
    assert weighed(EVIDENCE_HALF_NS, tested=50, **alike).fidelity == pytest.approx((2 * 0.95 + 0.85) / 3)
    assert weighed(tested=0, **alike).fidelity == pytest.approx(0.95)  # never tested: by the file


def test_a_link_without_measurements_that_attempts_all_the_time_is_no_news() -> None:
    link = network("az").links["az"]
    assert learnt(link, advert(figures={"measured": 0}), 0) is None
    told = learnt(link, advert(duty=0.25, figures={"measured": 0}), 0)
    assert told == LinkNews(link="az", points=(), duty=0.25, measured=0, tested=0, age_ns=0)
    idle = learnt(link, advert(duty=0.0), 0)
    assert idle is not None
    assert idle.duty is None


def test_a_changed_fidelity_keeps_the_proportions_of_the_errors() -> None:
    uneven = (0.9, 0.06, 0.03, 0.01)
    walsh = to_walsh(uneven)
    one = HeraldEstimate(code=1, frame=2, signs=walsh.signs, cost=walsh.cost)
    link = msgspec.structs.replace(network("az").links["az"], heralds=with_fidelity((one,), 0.8))
    assert link_state(link) == pytest.approx((0.8, 0.12, 0.06, 0.02))
    perfect = HeraldEstimate(code=1, frame=2, signs=0, cost=(0, 0, 0))
    link = msgspec.structs.replace(link, heralds=with_fidelity((perfect,), 0.7))
    assert link_state(link) == pytest.approx((0.7, 0.1, 0.1, 0.1))


# --- plans ------------------------------------------------------------------------------------------------


def test_a_link_advertised_as_half_as_good_makes_half_the_pairs_and_loses_the_route() -> None:
    direct = network("az")
    assert planned(direct, asked()).rate_hz == pytest.approx(FILE / 1e-4)
    slow = planned(direct, asked(), news_of("az", FILE / 2))
    assert slow.rate_hz == pytest.approx(FILE / 2 / 1e-4)
    assert (planned(direct, asked()).measured, slow.measured) == ((), ("az",))

    two_ways = network("ab", "bz", "ac", "cz")
    assert planned(two_ways, asked()).nodes["a"].route == ("a", "b", "z")
    other = planned(two_ways, asked(), news_of("bz", FILE / 2))
    assert other.nodes["a"].route == ("a", "c", "z")
    assert other.measured == ()  # no link of this way was measured
    assert planned(two_ways, asked(), news_of("cz", 2 * FILE)).nodes["a"].route == ("a", "c", "z")


def test_a_link_advertised_as_worse_loses_the_request_that_wants_more() -> None:
    two_ways = network("ab", "bz", "ac", "cz")
    wanted = asked(fidelity_threshold=0.88)
    assert planned(two_ways, wanted, news_of("ab", FILE, 0.9)).nodes["a"].route == ("a", "c", "z")
    both = (news_of("ab", FILE, 0.9), news_of("cz", FILE, 0.8))
    reason = compute_plan(two_ways, wanted, 1, Circumstances(links=both))
    # Werner pairs of 0.95 and 0.9 swapped: 0.855 + 0.05 x 0.1 / 3.
    assert reason == "fidelity 0.88 cannot be reached: at most 0.856 over a-b-z"


def test_plans_hope_for_the_share_of_time_that_a_link_has() -> None:
    direct = network("az")
    quarter = LinkNews(link="az", points=(), duty=0.25, measured=0, tested=0, age_ns=0)
    plan = planned(direct, asked(), quarter)
    attempts = 1 / FILE
    # It attempts a quarter of the time and makes a quarter of the pairs.
    assert plan.latency_ns == pytest.approx(attempts * 4 * PERIOD_NS)
    assert plan.measured == ()


def test_a_shared_memory_gives_a_swapping_node_half_of_the_turns_to_each_side() -> None:
    terms: dict[str, Any] = {"turn_ns": 10_000_000, "turns": 4, "turn_guard_ns": 900_000}
    ends = network("az", shared=(True, False), **terms)  # no node between two links of this plan
    assert as_planned(ends.links["az"], ends.nodes).period_ns == PERIOD_NS
    hub = network("bz", "ab", shared=(True, True), **terms)
    # Two turns of 10 ms of four; the last attempt begins 0.9 ms and its own 0.1 ms before their end.
    halved = as_planned(hub.links["bz"], hub.nodes)
    assert halved.period_ns == pytest.approx(PERIOD_NS / ((20 - 0.9) / 40), abs=1)
    told = LinkNews(link="bz", points=(), duty=0.2, measured=0, tested=0, age_ns=0)
    assert as_planned(hub.links["bz"], hub.nodes, told).period_ns == 5 * PERIOD_NS
    # All turns while nobody wants the other link: the plan itself will want it.
    alone = msgspec.structs.replace(told, duty=1.0)
    assert as_planned(hub.links["bz"], hub.nodes, alone) == halved


def test_fewer_emitters_than_lanes_slow_a_link_down() -> None:
    net = network("az", lanes=4)
    memory = net.nodes["a"].memory
    assert memory is not None
    three = msgspec.structs.replace(net.nodes["a"], memory=msgspec.structs.replace(memory, emitters=3))
    assert as_planned(net.links["az"], net.nodes | {"a": three}).period_ns == round(PERIOD_NS * 4 / 3)


def test_one_emitter_halves_the_time_of_both_links_of_a_swapping_node() -> None:
    hub = network("ab", "bz", turn_ns=10_000_000, turns=4)
    memory = hub.nodes["b"].memory
    assert memory is not None
    one = msgspec.structs.replace(memory, emitters=1)
    nodes = hub.nodes | {"b": msgspec.structs.replace(hub.nodes["b"], memory=one)}
    assert as_planned(hub.links["ab"], hub.nodes).period_ns == PERIOD_NS
    assert as_planned(hub.links["ab"], nodes).period_ns == 2 * PERIOD_NS


def test_pairs_measured_as_tests_are_not_promised() -> None:
    plain, tested = network("az").links["az"], network("az", test_share=0.2).links["az"]
    assert link_latency_s(tested) == pytest.approx(link_latency_s(plain) / 0.8)


def test_a_plain_link_is_planned_with_as_it_stands() -> None:
    net = network("az")
    assert as_planned(net.links["az"], net.nodes) is net.links["az"]


# --- operating points -------------------------------------------------------------------------------------

THREE_POINTS = (point("dim", 0.01, 0.98), point("middle", 0.03, 0.9), point("bright", 0.1, 0.8))


def wishes(plan: RequestPlan) -> set[float | None]:
    told = [part.fidelity_min for node in plan.nodes.values() for part in node.links]
    return {None if wish is None else round(wish, 6) for wish in told}


@pytest.mark.parametrize(
    ("wanted", "rate_hz", "wish"),
    [(None, 100, None), (0.75, 1000, 0.525), (0.85, 300, 0.85), (0.95, 100, 0.94)],
    ids=["nothing asked", "bright is enough", "middle", "dim"],
)
def test_a_plan_counts_with_the_fastest_point_that_keeps_its_fidelity_and_tells_the_links(
    wanted: float | None, rate_hz: float, wish: float | None
) -> None:
    plan = planned(network("az", points=THREE_POINTS), asked(fidelity_threshold=wanted))
    assert plan.rate_hz == pytest.approx(rate_hz, rel=0.001)
    assert wishes(plan) == {wish}


def test_a_long_route_asks_its_links_for_more_than_a_short_one() -> None:
    short = planned(network("az", points=THREE_POINTS), asked(fidelity_threshold=0.85))
    long = planned(network("ab", "bz", points=THREE_POINTS), asked(fidelity_threshold=0.85))
    assert wishes(short) == {0.85}
    assert wishes(long) == {0.94}
    assert long.fidelity == pytest.approx(0.98**2 + 0.02**2 / 3)
    reason = compute_plan(network("ab", "bz", points=THREE_POINTS), asked(fidelity_threshold=0.97), 1)
    assert reason == "fidelity 0.97 cannot be reached: at most 0.960 over a-b-z"


def test_a_point_measured_as_worse_than_the_file_says_gives_way_to_a_dimmer_one() -> None:
    net = network("az", points=THREE_POINTS)
    middle = PointNews(point=1, success_probability=0.03, fidelity=0.84)
    news = LinkNews(link="az", points=(middle,), duty=None, measured=10, tested=900, age_ns=0)
    plan = planned(net, asked(fidelity_threshold=0.85), news)
    assert plan.rate_hz == pytest.approx(100, rel=0.001)
    assert wishes(plan) == {0.91}
    assert plan.measured == ("az",)


def test_floors_lie_between_neighbours_and_are_few_however_many_points_there_are() -> None:
    links = network("az", points=THREE_POINTS).links.values()
    assert [each and round(each, 9) for each in floors(links)] == [0.25, 0.85, 0.94]
    many = tuple(point(str(index), 0.001 * (index + 1), 0.9 - 0.002 * index) for index in range(100))
    found = floors(network("az", points=many).links.values())
    assert len(found) == 16
    assert found[-1] == pytest.approx(0.899)
    numbers = [each for each in found if each is not None]
    assert all(lower < higher for lower, higher in pairwise(numbers))
    assert floors(network("az", "ab").links.values()) == (None,)
    assert fidelity_wish(network("az").links["az"], 0.9) is None


def test_the_wish_leads_the_link_to_the_point_that_the_plan_counts_with() -> None:
    link = network("az", points=THREE_POINTS).links["az"]
    believed = [
        Candidate(fidelity_at(each), fidelity_at(each), each.success_probability, 0) for each in THREE_POINTS
    ]
    for floor in (None, 0.25, 0.85, 0.94, 0.99):
        taken = THREE_POINTS[chosen_point(believed, fidelity_wish(link, floor), None)]
        counted = as_planned(link, {}, None, floor)
        assert counted.success_probability == taken.success_probability
        first = counted.heralds[0]
        assert fidelity_of(Walsh(first.signs, first.cost)) == pytest.approx(fidelity_at(taken))


# --- dispatch ---------------------------------------------------------------------------------------------


class Destination(Lone):
    """The planning parts of z, which computes for a."""

    def __init__(self, net: NetworkSettings) -> None:
        messaging = Messaging(net, "z")
        advertised = AdvertisedLinks(net, "z")

        def compute(request: EntanglementRequest, version: int, news: Circumstances) -> RequestPlan | str:
            return compute_plan(net, request, version, news)

        dispatch = PlanDispatch(net, "z", compute, messaging, advertised)
        super().__init__("z", NodeMachine("z", [advertised, messaging, dispatch, Listener()]))
        self.tell(0, Started(incarnation=1))

    def plan(self, now_ns: int, version: int, circumstances: Circumstances) -> RequestPlan:
        self.take()
        self.hear(now_ns, "a", PlanWanted(request=asked(), version=version, circumstances=circumstances))
        (proposed,) = self.sent(PlanProposed, "a")
        assert proposed.plan is not None
        return proposed.plan


def test_a_destination_plans_with_what_links_told_it_and_not_with_what_the_source_says_of_them() -> None:
    destination = Destination(network("az"))
    claimed = Circumstances(links=(news_of("az", 1.0),))
    by_file = destination.plan(0, 1, claimed)
    assert by_file.rate_hz == pytest.approx(FILE / 1e-4)
    assert by_file.measured == ()
    half = {"success_probability": FILE / 2, "success_error": FILE / 2 / 100, "measured": 10_000}
    destination.hear(0, "a", advert(figures=half))
    measured = destination.plan(0, 2, claimed)
    assert measured.rate_hz == pytest.approx(10_025 / (500 + 400_000) / 1e-4)
    assert measured.measured == ("az",)
    stale = destination.plan(AGE_MAX_NS + 1, 3, claimed)
    assert stale.rate_hz == by_file.rate_hz
