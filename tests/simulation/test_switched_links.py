"""Links that exist at one setting of an optical switch, in virtual time: order, settling, check, lease."""

from functools import partial

from bellwire.core.effects import CheckDark, Effect, Report, SetSwitch, StartAttempts
from bellwire.core.events import Event, SwitchSet
from bellwire.core.ids import NodeId
from bellwire.core.units import NS_PER_MS, ns_from_s
from bellwire.labs import load_lab
from bellwire.planner.plans import compute_plan
from bellwire.simulator_backend.host import VirtualHost
from bellwire.simulator_backend.simulation import Observer
from tests.hosts.live import LABS

LAB = load_lab(LABS / "switched_hub.yaml")
SETTLE_NS, CHECK_NS = 20 * NS_PER_MS, 50 * NS_PER_MS


class Seen:
    """A host of the lab, with what its nodes ordered and told."""

    def __init__(self, seed: int = 1) -> None:
        self.orders: list[tuple[int, NodeId, Effect]] = []
        self.ends: list[SwitchSet] = []
        self.reports: list[tuple[int, Report]] = []
        self.host = VirtualHost(LAB, seed, partial(compute_plan, LAB.network), watch=self._watch)
        self.observer = Observer(self.host)
        self.host.reports.append(lambda now_ns, node, report: self.reports.append((now_ns, report)))

    def _watch(self, now_ns: int, node: NodeId, event: Event, effects: list[Effect]) -> None:
        kept = (SetSwitch, CheckDark, StartAttempts)
        self.orders += [(now_ns, node, one) for one in effects if isinstance(one, kept)]
        if isinstance(event, SwitchSet):
            self.ends.append(event)

    def run(self, seconds: float) -> None:
        self.host.start()
        self.host.run(ns_from_s(seconds))

    def told(self, name: str) -> list[tuple[int, Report]]:
        return [(at_ns, report) for at_ns, report in self.reports if report.name == name]

    def armed_ns(self, link: str) -> list[int]:
        """When anybody was ordered to attempt on a link."""
        return [at_ns for at_ns, _, one in self.orders if isinstance(one, StartAttempts) and one.link == link]


def test_nobody_attempts_before_the_switch_has_settled_and_was_found_dark() -> None:
    seen = Seen()
    seen.run(20.0)
    assert {one.status for one in seen.observer.outcomes.values()} == {"completed"}
    moves = [(at_ns, one) for at_ns, _, one in seen.orders if isinstance(one, SetSwitch)]
    assert [one.setting for _, one in moves] == ["west", "east"]
    checks = [at_ns for at_ns, _, one in seen.orders if isinstance(one, CheckDark)]
    for (moved_ns, _), checked_ns, link in zip(moves, checks, ("hub-alice", "hub-bob"), strict=True):
        assert checked_ns == moved_ns + SETTLE_NS
        armed = seen.armed_ns(link)
        assert armed
        assert min(armed) >= checked_ns + CHECK_NS
    assert max(seen.armed_ns("hub-alice")) < moves[1][0], "the other link is left before the switch moves"


def test_the_second_request_waits_and_is_told_who_holds_the_switch() -> None:
    seen = Seen()
    seen.run(20.0)
    reasons = [str(report.fields["reason"]) for _, report in seen.told("plan_failed")]
    assert any("hub-bob needs switch matrix at east; with_alice holds it at west" in one for one in reasons)
    done, begun = seen.observer.outcomes["with_alice"], seen.observer.outcomes["with_bob"]
    assert max(done.delivered_ns) < min(begun.delivered_ns)
    assert len(done.delivered_ns) == len(begun.delivered_ns) == 20


def test_light_in_the_dark_check_takes_the_link_down_with_a_reason_until_it_is_gone() -> None:
    seen = Seen()
    seen.host.bindings.stray_light_hz["matrix"] = 5000.0
    seen.run(2.0)
    (_, report), *_ = seen.told("switch_down")
    assert report.fields["reason"] == "5000 counts per second without light, 1000 are allowed"
    assert report.fields["links"] == "hub-alice"
    assert not seen.armed_ns("hub-alice")
    assert any("link hub-alice is down: 5000" in str(one.fields) for _, one in seen.told("plan_failed"))
    seen.host.bindings.stray_light_hz.clear()
    seen.host.run(ns_from_s(40.0))
    assert seen.observer.outcomes["with_alice"].status == "completed"


def test_a_switch_that_does_not_move_is_tried_again_at_growing_intervals() -> None:
    seen = Seen()
    seen.host.bindings.switch_faults["matrix"] = "mirror 1 is stuck"
    seen.run(10.0)
    downs = [report.fields["reason"] for _, report in seen.told("switch_down")]
    assert downs
    assert set(downs) <= {
        "the change to west failed: mirror 1 is stuck",
        "the change to east failed: mirror 1 is stuck",
    }
    assert not seen.armed_ns("hub-alice")
    assert not seen.armed_ns("hub-bob")
    assert len(downs) <= 12, "ten seconds of tries, not a storm of them"
    seen.host.bindings.switch_faults.clear()
    seen.host.run(ns_from_s(55.0))
    assert {one.status for one in seen.observer.outcomes.values()} == {"completed"}


def test_an_order_under_an_older_fence_is_refused_by_the_device() -> None:
    seen = Seen()
    seen.run(20.0)
    fence = max(one.fence for _, _, one in seen.orders if isinstance(one, SetSwitch))
    late = SetSwitch(operation=999_999, switch="matrix", setting="west", fence=fence - 1, within_ns=1)
    seen.host.bindings.set_switch("hub", late)
    assert (seen.ends[-1].ended, seen.ends[-1].reason) == (
        "failed",
        f"fence {fence - 1} is older than {fence}",
    )


def test_a_link_without_its_setting_gives_no_heralds_whoever_attempts() -> None:
    seen = Seen()
    seen.host.bindings.dark_links()
    for name in ("hub-alice", "hub-bob"):
        assert seen.host.world.truth_of_link(name).success_probability == 0.0
    order = SetSwitch(operation=1, switch="matrix", setting="west", fence=1, within_ns=1)
    seen.host.start()
    seen.host.bindings.set_switch("hub", order)
    assert seen.host.world.truth_of_link("hub-alice").success_probability > 0.0
    assert seen.host.world.truth_of_link("hub-bob").success_probability == 0.0


def test_a_hub_that_restarts_outbids_the_fence_of_its_earlier_life() -> None:
    seen = Seen()
    seen.host.start()
    seen.host.run(ns_from_s(0.5))
    seen.host.crash("hub", ns_from_s(0.2))
    seen.host.run(ns_from_s(40.0))
    fences = [one.fence for _, _, one in seen.orders if isinstance(one, SetSwitch)]
    assert fences == sorted(fences)
    assert {one.status for one in seen.observer.outcomes.values()} == {"completed"}
