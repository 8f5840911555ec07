"""What side 0 of a link tells planners, when, and how often at most."""

from dataclasses import dataclass, field

import msgspec
import pytest

from bellwire.core.effects import Report, Send
from bellwire.core.events import PeerChanged, Started, TimerFired
from bellwire.core.link_messages import LinkAdvertised, LinkFigures
from bellwire.core.machine import Handler, Step
from bellwire.core.notices import (
    LinkFiguresTold,
    LinkStateTold,
    PeerRestarted,
    PlanInstalled,
    PlanRemoved,
)
from bellwire.core.plans import LinkPlan, NodePlan
from bellwire.core.settings import HeraldEstimate, LinkSettings, NetworkSettings, OperatingPoint
from bellwire.link_layer.advertising import LinkAdvertising, modelled_figures
from bellwire.link_layer.service import LinkService
from bellwire.node.routing import NodeMachine
from bellwire.node.slots import SlotTable
from tests.link_layer.lone import Lone
from tests.node.networks import chain

SECOND = 1_000_000_000
NETWORK = chain(lanes=1)
NETWORK = msgspec.structs.replace(
    NETWORK,
    links={name: msgspec.structs.replace(link, test_share=0.1) for name, link in NETWORK.links.items()},
)
LOOK = NETWORK.timers.advert_look_ns
REPEAT = NETWORK.timers.advert_repeat_ns


@dataclass
class MadeUpEnd:
    """A link end whose figures the test decides."""

    settings: LinkSettings
    side: int = 0
    success_probability: float = 0.05
    success_error: float = 0.0
    fidelity: float = 1.0
    half_width: float = 0.0
    measured: int = 0
    tested: int = 0
    share: float = 1.0
    point: int | None = None
    dark: str = ""

    def down(self) -> str:
        return self.dark

    def figures(self) -> tuple[LinkFigures, ...]:
        return tuple(
            LinkFigures(
                point=index,
                name=str(index),
                success_probability=self.success_probability,
                success_error=self.success_error,
                fidelity=self.fidelity,
                fidelity_low=self.fidelity - self.half_width,
                fidelity_high=self.fidelity,
                measured=self.measured,
                tested=self.tested,
                at_ns=0,
            )
            for index in range(max(1, len(self.settings.points)))
        )

    def duty(self) -> float:
        return self.share

    def point_in_force(self) -> int | None:
        return self.point


@dataclass
class Ear:
    """The rest of the node."""

    told: list[LinkAdvertised] = field(default_factory=list)

    def on_events(self) -> dict[type, Handler]:
        return {PeerChanged: self._peer_changed}

    def on_messages(self) -> dict[type, Handler]:
        return {}

    def on_notices(self) -> dict[type, Handler]:
        return {LinkFiguresTold: lambda step, notice: self.told.append(notice.advertised)}

    def gives(self) -> frozenset[type]:
        return frozenset({PeerRestarted, LinkStateTold, PlanInstalled, PlanRemoved})

    def deadline_ns(self) -> int | None:
        return None

    def on_deadline(self, step: Step) -> None:
        pass

    def _peer_changed(self, step: Step, event: PeerChanged) -> None:
        step.tell(PeerRestarted(peer=event.peer, incarnation=event.incarnation or 0))


class Speaker(Lone):
    """A node of the chain a - r - b that speaks for made-up ends."""

    def __init__(self, node: str, *ends: MadeUpEnd, network: NetworkSettings = NETWORK) -> None:
        self.part = LinkAdvertising(network, node, {end.settings.link: end for end in ends})
        self.ear = Ear()
        super().__init__(node, NodeMachine(node, [self.part, self.ear]))
        self.tell(0, Started(incarnation=1))

    def notice(self, notice: LinkStateTold | PlanInstalled | PlanRemoved) -> None:
        """As another part of the node would: within a step whose event touches nobody."""
        self.machine._step.tell(notice)
        self.tell(SECOND, TimerFired())

    def adverts(self, to: str) -> list[LinkAdvertised]:
        return self.sent(LinkAdvertised, to)


def measured_end(**figures: float) -> MadeUpEnd:
    """The link r - b after 100 heralds."""
    known = {"success_probability": 0.05, "success_error": 0.005, "measured": 100}
    return MadeUpEnd(NETWORK.links["r-b"], **(known | figures))  # type: ignore[arg-type]


def test_a_link_of_which_nothing_was_measured_says_nothing() -> None:
    speaker = Speaker("r", MadeUpEnd(NETWORK.links["r-b"]))
    speaker.wait(100 * SECOND)
    assert speaker.effects == []
    assert speaker.machine.next_deadline_ns == 100 * SECOND + LOOK


def test_nobody_looks_at_a_link_that_can_never_differ_from_its_lab_file() -> None:
    plain = msgspec.structs.replace(NETWORK.links["r-b"], test_share=0.0)
    speaker = Speaker("r", MadeUpEnd(plain))
    assert speaker.machine.next_deadline_ns is None
    turns = msgspec.structs.replace(plain, turn_ns=1_000_000, turns=4)
    assert Speaker("r", MadeUpEnd(turns)).machine.next_deadline_ns == LOOK


def test_a_measured_link_tells_every_end_node_and_no_repeater_or_station() -> None:
    speaker = Speaker("r", measured_end())
    speaker.wait(LOOK)
    assert sorted(send.to for send in speaker.ordered(Send)) == ["a", "b"]
    (advert,) = speaker.adverts("a")
    assert (advert.link, advert.number, advert.period_ns, advert.lanes) == ("r-b", 1, 100_000, 1)
    assert advert.figures[0].measured == 100
    assert {send.urgency for send in speaker.ordered(Send)} == {"digest"}
    assert speaker.ear.told == []  # a repeater plans nothing
    (report,) = speaker.ordered(Report)
    assert (report.name, report.fields["link"], report.fields["measured"]) == ("link_advertised", "r-b", 100)


def test_an_end_node_hears_its_own_links_without_a_message_to_itself() -> None:
    end = measured_end()
    end.settings = NETWORK.links["a-r"]
    speaker = Speaker("a", end)
    speaker.wait(LOOK)
    assert [send.to for send in speaker.ordered(Send)] == ["b"]
    assert speaker.ear.told == speaker.adverts("b")


def test_a_link_that_makes_no_pairs_says_so_at_once_and_to_those_whose_plans_use_it() -> None:
    end = MadeUpEnd(msgspec.structs.replace(NETWORK.links["r-b"], test_share=0.0))
    regions = {name: msgspec.structs.replace(node, region=name) for name, node in NETWORK.nodes.items()}
    apart = msgspec.structs.replace(NETWORK, nodes=regions, ledgers="routes")
    speaker = Speaker("r", end, network=apart)
    assert speaker.machine.next_deadline_ns is None
    end.dark = "no herald"
    speaker.notice(LinkStateTold(link="r-b", state="down", reason="no herald"))
    assert speaker.sent(LinkAdvertised) == []  # nobody plans in this region, and no plan uses the link
    end.dark = ""
    speaker.notice(LinkStateTold(link="r-b", state="up", reason=""))
    speaker.notice(PlanInstalled(plan=through_the_relay()))
    end.dark = "no herald"
    speaker.take()
    speaker.notice(LinkStateTold(link="r-b", state="down", reason="no herald"))
    heard = [(send.to, send.urgency) for send in speaker.ordered(Send)]
    assert heard == [("a", "delivery"), ("b", "delivery")]
    assert [each.down for each in speaker.sent(LinkAdvertised)] == ["no herald"] * 2
    speaker.notice(PlanRemoved(request="q", version=1))
    end.dark = ""
    speaker.take()
    speaker.notice(LinkStateTold(link="r-b", state="up", reason=""))
    assert speaker.sent(LinkAdvertised) == []


def test_a_link_that_is_down_says_so_again_and_again_to_planners() -> None:
    end = MadeUpEnd(msgspec.structs.replace(NETWORK.links["r-b"], test_share=0.0))
    speaker = Speaker("r", end)
    end.dark = "no herald"
    speaker.notice(LinkStateTold(link="r-b", state="down", reason="no herald"))
    speaker.wait(3 * REPEAT + 3 * LOOK)
    assert [each.down for each in speaker.adverts("a")] == ["no herald"] * 4
    end.dark = ""
    speaker.notice(LinkStateTold(link="r-b", state="up", reason=""))
    speaker.wait(6 * REPEAT)
    assert [each.down for each in speaker.adverts("a")][4:] == [""]  # and then it has nothing to say


def through_the_relay() -> NodePlan:
    part = LinkPlan(
        request="q", tree=0, link="r-b", partner="b", rate_hz=1.0, lanes=0, weight=1, fidelity_min=None
    )
    return NodePlan(
        request="q",
        version=1,
        source="a",
        destination="b",
        role="inner",
        routes=(("a", "r", "b"),),
        links=(part,),
        swaps=(),
        cutoff_ns=None,
        rounds=False,
        lease_ns=SECOND,
    )


def test_side_1_of_a_link_says_nothing_about_it() -> None:
    end = measured_end()
    end.side = 1
    speaker = Speaker("b", end)
    speaker.wait(10 * LOOK)
    assert speaker.effects == []
    assert speaker.machine.next_deadline_ns is None


def test_a_figure_that_moved_by_more_than_its_error_is_told_at_the_next_look_and_a_smaller_one_is_not() -> (
    None
):
    end = measured_end()
    speaker = Speaker("r", end)
    speaker.wait(LOOK)
    end.success_probability = 0.0549
    speaker.wait(2 * LOOK)
    assert len(speaker.adverts("a")) == 1
    end.success_probability = 0.0551
    speaker.wait(3 * LOOK)
    first, second = speaker.adverts("a")
    assert (first.number, second.number) == (1, 2)
    assert second.figures[0].success_probability == 0.0551


def test_a_fidelity_is_told_when_it_moved_by_more_than_one_standard_error_of_its_interval() -> None:
    end = measured_end(fidelity=0.9, half_width=0.04, tested=50)  # an interval of 0.04: error 0.0102
    speaker = Speaker("r", end)
    speaker.wait(LOOK)
    end.fidelity = 0.891
    speaker.wait(2 * LOOK)
    assert len(speaker.adverts("a")) == 1
    end.fidelity = 0.889
    speaker.wait(3 * LOOK)
    assert len(speaker.adverts("a")) == 2


@pytest.mark.parametrize(("name", "value"), [("share", 0.5), ("point", 1)])
def test_a_new_share_of_time_or_operating_point_is_told_without_any_measurement(
    name: str, value: float
) -> None:
    link = NETWORK.links["r-b"]
    both = tuple(
        OperatingPoint(name=word, success_probability=0.05, heralds=link.heralds, settings={})
        for word in ("dim", "bright")
    )
    end = MadeUpEnd(msgspec.structs.replace(link, points=both))
    speaker = Speaker("r", end)
    speaker.wait(5 * LOOK)
    assert speaker.effects == []
    setattr(end, name, value)
    speaker.wait(6 * LOOK)
    (advert,) = speaker.adverts("a")
    assert (advert.duty, advert.point) == (end.share, end.point or 0)


def test_a_link_that_nobody_wants_any_more_keeps_the_operating_point_that_it_had() -> None:
    end = measured_end()
    end.point = 0
    speaker = Speaker("r", end)
    speaker.wait(LOOK)
    end.point = None
    speaker.wait(2 * LOOK)
    assert [one.point for one in speaker.adverts("a")] == [0]


def test_figures_are_told_again_in_time_when_nothing_changes() -> None:
    speaker = Speaker("r", measured_end())
    speaker.wait(LOOK + 3 * REPEAT)
    assert [advert.number for advert in speaker.adverts("a")] == [1, 2, 3, 4]
    assert speaker.part.counters == {"adverts": 4, "repeats": 3}


def test_figures_that_never_rest_are_told_once_a_look_at_most() -> None:
    end = measured_end(success_error=1e-9)
    speaker = Speaker("r", end)
    looks = 20
    for number in range(10 * looks):  # they change ten times between two looks
        end.success_probability = 0.05 + 0.0001 * number
        at_ns = (number + 1) * LOOK // 10
        if speaker.machine.next_deadline_ns is not None and speaker.machine.next_deadline_ns <= at_ns:
            speaker.tell(at_ns, TimerFired())
    assert [advert.number for advert in speaker.adverts("a")] == list(range(1, looks + 1))


def test_a_planner_that_restarted_is_told_the_latest_figures_again_and_a_repeater_is_not() -> None:
    speaker = Speaker("r", measured_end())
    speaker.tell(0, PeerChanged(peer="b", state="up", incarnation=2))
    assert speaker.effects == []  # nothing was told yet
    speaker.wait(LOOK)
    before = speaker.adverts("b")
    speaker.take()
    speaker.tell(LOOK + 1, PeerChanged(peer="b", state="up", incarnation=3))
    assert [send.to for send in speaker.ordered(Send)] == ["b"]
    assert speaker.adverts("b") == before
    speaker.take()
    speaker.tell(LOOK + 2, PeerChanged(peer="m", state="up", incarnation=2))
    assert speaker.effects == []


def test_a_real_link_end_has_the_figures_of_its_settings_until_something_is_measured() -> None:
    link = NETWORK.links["a-r"]
    worse = HeraldEstimate(code=1, frame=2, signs=0, cost=(1 << 54, 1 << 54, 1 << 54))
    dim = OperatingPoint(name="dim", success_probability=0.01, heralds=link.heralds, settings={})
    bright = OperatingPoint(name="bright", success_probability=0.2, heralds=(worse,), settings={})
    link = msgspec.structs.replace(link, points=(dim, bright))
    network = msgspec.structs.replace(NETWORK, links=NETWORK.links | {"a-r": link})
    end = LinkService(network, "a", SlotTable(network, "a")).ends["a-r"]
    dim_figures, bright_figures = modelled_figures(link)
    assert end.point_in_force() is None
    assert (dim_figures.name, dim_figures.success_probability, dim_figures.fidelity) == ("dim", 0.01, 1.0)
    # Three eigenvalues of exp(-1/4): F = (1 + 3 exp(-1/4)) / 4.
    assert bright_figures.fidelity == pytest.approx((1 + 3 * 0.77880078) / 4)
    assert [figures.success_probability for figures in end.figures()] == [0.01, 0.2]
    assert {figures.measured + figures.tested for figures in end.figures()} == {0}
