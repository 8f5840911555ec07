"""An inner node under adaptive policies: turns, timers, what it gives up, and the tree it falls back on.

The node r is in the middle of w - a - r - b - z, 50 us of classical delay from one to the next. Links have
two lanes.
"""

from itertools import pairwise

import msgspec
import pytest

from bellwire.core.bell import PERFECT
from bellwire.core.effects import MeasureBell
from bellwire.core.events import TimerFired
from bellwire.core.ids import End, NodeId, QubitId
from bellwire.core.notices import EndChanged, PlanInstalled, ViewReady
from bellwire.core.plans import RouteTable
from bellwire.core.view import Entanglement
from tests.node.networks import MS
from tests.swapping.bench import SwapBench, end_of, node_plan, swap_plan
from tests.swapping.tables import uniform

ROUTE = ("w", "a", "r", "b", "z")
US = 1_000
HOP_NS = 50 * US
LEFT, RIGHT = end_of("a-r", 1), end_of("r-b", 2)
T_ROOT_NS = 14_062_500_000  # of uniform(): links of 1 s
WAIT_NS = 1_000_000_000
PATIENCE_NS = 12 * WAIT_NS


class AdaptiveBench(SwapBench):
    """A bench on a longer route, whose plan has offline values. Suspects are told with every view."""

    def __init__(self, mode: str, table: RouteTable | None = None, bsm_ns: int = 10 * US) -> None:
        super().__init__()
        for name, distance in (("w", 2), ("a", 1), ("r", 0), ("b", 1), ("z", 2)):
            self.network.delays_ns["r"][name] = distance * HOP_NS
        self.part._memory = msgspec.structs.replace(self.part._memory, bsm_duration_ns=bsm_ns)
        self.suspects: frozenset[NodeId] = frozenset()
        self.install(0, mode, table)

    def install(self, now_ns: int, mode: str, table: RouteTable | None = None, version: int = 2) -> None:
        swap = swap_plan(
            policy=mode,
            route=ROUTE,
            left_partner="w",
            right_partner="z",
            table=uniform(2) if table is None else table,
        )
        self.notice(now_ns, PlanInstalled(plan=node_plan(version=version, routes=(ROUTE,), swaps=(swap,))))

    def grown(self, now_ns: int, end: End, far: NodeId, *, oldest_ns: int = 0) -> None:
        """The chain of an own end reaches another node now."""
        self.view.owners[end] = far
        self.view.chains[end].oldest_ns = oldest_ns
        self.notice(now_ns, EndChanged(end=end))

    def notice(self, now_ns: int, *notices: object) -> None:
        self.others.answering = False  # this bench answers, with suspects
        before = len(self.others.views)
        super().notice(now_ns, *notices)  # type: ignore[arg-type]  # notices of a wider type for answers below
        self.answer(now_ns, before)

    def answer(self, now_ns: int, before: int) -> None:
        for wanted in self.others.views[before:]:
            view: object = self.view
            ready = ViewReady(
                purpose=wanted.purpose,
                request=wanted.request,
                view=view,  # type: ignore[arg-type]  # as the bench's view
                as_of_ns=now_ns,
                suspects=getattr(self, "suspects", frozenset()),
            )
            super().notice(now_ns, ready)

    def wait(self, until_ns: int) -> None:
        while self.machine.next_deadline_ns is not None and self.machine.next_deadline_ns <= until_ns:
            now_ns, before = self.machine.next_deadline_ns, len(self.others.views)
            self.tell(now_ns, TimerFired())
            self.answer(now_ns, before)

    def swapped_at(self) -> int:
        return len(self.ordered(MeasureBell))


# ---- turns


def test_the_upper_end_of_a_fresh_pair_waits_until_it_would_have_heard_of_the_lower_end_s_swap() -> None:
    """The pair a-r: its lower end is at a. A swap there takes 10 us, and its news 50 us."""
    bench = AdaptiveBench("oldest")
    bench.pair(0, "r-b", 2)
    bench.pair(MS, "a-r", 1)
    turn_ns = MS + 10 * US + HOP_NS + 1
    bench.wait(turn_ns - 1)
    assert bench.swapped_at() == 0
    bench.wait(turn_ns)
    assert bench.measuring() == [(2, 0)]


def test_the_lower_end_of_a_fresh_pair_swaps_at_once() -> None:
    bench = AdaptiveBench("oldest")
    bench.pair(0, "a-r", 1)
    bench.pair(MS, "r-b", 2)
    assert bench.measuring() == [(2, 0)]


def test_a_pair_that_a_swap_elsewhere_made_longer_is_as_fresh_as_its_news() -> None:
    """(w,r) came of a swap at a. w may have heard of it up to one way later than r; its swap's news takes one
    way more: 100 us each. But w is the source, which swaps nothing: no wait. For a pair from a it counts."""
    bench = AdaptiveBench("oldest")
    bench.pair(0, "a-r", 1)
    bench.grown(MS, LEFT, "w")
    bench.pair(2 * MS, "r-b", 2)
    assert bench.swapped_at() == 1

    bench = AdaptiveBench("oldest")
    bench.pair(0, "a-r", 1)
    bench.view.owners[LEFT] = "elsewhere"  # not on the route: of no use
    bench.notice(MS, EndChanged(end=LEFT))
    bench.pair(2 * MS, "r-b", 2)
    assert bench.swapped_at() == 0
    bench.grown(3 * MS, LEFT, "a")
    turn_ns = 3 * MS + 10 * US + 2 * HOP_NS + 1
    bench.wait(turn_ns - 1)
    assert bench.swapped_at() == 0
    bench.wait(turn_ns)
    assert bench.swapped_at() == 1


def test_word_that_the_partner_s_half_was_born_does_not_start_the_turn_again() -> None:
    bench = AdaptiveBench("oldest")
    bench.pair(0, "r-b", 2)
    bench.pair(MS, "a-r", 1)
    bench.notice(MS + HOP_NS, EndChanged(end=LEFT))
    bench.wait(MS + 10 * US + HOP_NS + 1)
    assert bench.swapped_at() == 1


@pytest.mark.parametrize("mode", ["swap_asap", "fixed_tree"])
def test_policies_that_follow_a_rule_of_their_own_take_no_turns(mode: str) -> None:
    bench = AdaptiveBench(mode)
    bench.pair(0, "r-b", 2)
    bench.pair(MS, "a-r", 1)
    if mode == "fixed_tree":
        assert bench.swapped_at() == 0  # its children are (w,r) and (r,z)
        bench.grown(2 * MS, LEFT, "w")
        bench.grown(2 * MS, RIGHT, "z")
    assert bench.swapped_at() == 1


# ---- what ends the route


@pytest.mark.parametrize("mode", ["oldest", "score", "score(form=A)", "score(form=B')", "shortest_hop"])
def test_a_swap_that_joins_source_and_destination_is_measured_at_once(mode: str) -> None:
    bench = AdaptiveBench(mode)
    bench.pair(0, "a-r", 1)
    bench.pair(0, "r-b", 2)
    assert bench.swapped_at() == 0  # the turn of a, for the link
    bench.grown(20 * US, RIGHT, "z")
    assert bench.swapped_at() == 0
    bench.grown(20 * US, LEFT, "w")
    assert bench.measuring() == [(2, 0)]


# ---- looking again


def test_a_score_that_waits_looks_again_every_wait_time_and_swaps_when_waiting_has_cost_enough() -> None:
    """(a,r) and (r,b), both fresh: 1.1 p U = 1.144 against the loss of 2 (1 - t/8 s) (1 - .2 / 2^4): the swap
    pays from t = 3.366 s on. Both age alike, which therefore does not count."""
    wait_ns = WAIT_NS // 4
    bench = AdaptiveBench("score", msgspec.structs.replace(uniform(2), wait_s=0.25))
    bench.pair(0, "a-r", 1)
    bench.pair(0, "r-b", 2)
    looks = [0]
    while bench.swapped_at() == 0:
        assert bench.machine.next_deadline_ns is not None
        looks.append(bench.machine.next_deadline_ns)
        bench.wait(looks[-1])
        assert len(looks) < 30
    assert max(after - before for before, after in pairwise(looks)) <= wait_ns
    pays_ns = 3_366_000_000
    assert pays_ns < looks[-1] <= pays_ns + wait_ns


def test_a_new_pair_is_a_reason_to_look_before_the_wait_is_over() -> None:
    bench = AdaptiveBench("score")
    bench.pair(0, "a-r", 1)
    bench.pair(0, "r-b", 2)
    bench.wait(MS)
    assert bench.swapped_at() == 0
    bench.pair(2 * MS, "r-b", 3, lane=1)
    bench.grown(3 * MS, end_of("r-b", 3, lane=1), "z")
    bench.grown(4 * MS, LEFT, "w")
    assert bench.measuring() == [(2, 1)]


# ---- giving up


def test_an_end_that_waits_longer_than_the_policy_allows_is_given_up() -> None:
    bench = AdaptiveBench("oldest")
    bench.pair(0, "a-r", 1)
    bench.wait(PATIENCE_NS - 1)
    assert bench.released() == []
    bench.wait(PATIENCE_NS)
    assert bench.released() == [(LEFT, "cutoff")]
    assert bench.part.counters["idle"] == 1
    assert bench.part.counters["cutoffs"] == 0
    assert bench.others.freed == [2]
    assert bench.given_back() == [2]


def test_patience_begins_anew_when_the_pair_grows_and_not_with_other_news_of_it() -> None:
    bench = AdaptiveBench("oldest(cutoff=none)")
    bench.pair(0, "a-r", 1)
    bench.notice(6 * WAIT_NS, EndChanged(end=LEFT))
    bench.wait(PATIENCE_NS)
    assert bench.released() == [(LEFT, "cutoff")]

    bench = AdaptiveBench("oldest(cutoff=none)")
    bench.pair(0, "a-r", 1)
    bench.grown(6 * WAIT_NS, LEFT, "w")
    bench.wait(6 * WAIT_NS + PATIENCE_NS)
    assert bench.released() == []


def test_an_end_without_patience_limit_stays_until_its_age_limit() -> None:
    bench = AdaptiveBench("oldest(discard=0)")
    bench.pair(0, "a-r", 1)
    bench.wait(2 * T_ROOT_NS - 1)
    assert bench.released() == []
    bench.wait(2 * T_ROOT_NS)
    assert bench.released() == [(LEFT, "cutoff")]
    assert bench.part.counters["cutoffs"] == 1
    assert bench.part.counters["idle"] == 0


def test_depth_cutoffs_give_links_up_four_times_sooner_than_the_whole_route() -> None:
    """Two levels below the root: 2 T_root / 4; a pair that a swap made longer gets twice the time."""
    bench = AdaptiveBench("oldest(discard=0, cutoff=depth)")
    bench.pair(0, "a-r", 1)
    bench.wait(T_ROOT_NS // 2 - 1)
    assert bench.released() == []
    bench.wait(T_ROOT_NS // 2)
    assert bench.released() == [(LEFT, "cutoff")]

    bench = AdaptiveBench("oldest(discard=0, cutoff=depth)")
    bench.pair(0, "a-r", 1)
    bench.grown(MS, LEFT, "w")
    bench.wait(T_ROOT_NS - 1)
    assert bench.released() == []
    bench.wait(T_ROOT_NS)
    assert bench.released() == [(LEFT, "cutoff")]


def test_age_is_that_of_the_oldest_constituent() -> None:
    bench = AdaptiveBench("oldest(discard=0)")
    bench.pair(5 * WAIT_NS, "a-r", 1)
    bench.grown(6 * WAIT_NS, LEFT, "w", oldest_ns=WAIT_NS)
    bench.wait(WAIT_NS + 2 * T_ROOT_NS)
    assert bench.released() == [(LEFT, "cutoff")]


def test_what_is_too_old_is_given_up_before_it_is_swapped() -> None:
    bench = AdaptiveBench("oldest")
    bench.pair(0, "a-r", 1)
    bench.view.chains[LEFT].oldest_ns = -2 * T_ROOT_NS
    bench.notice(MS, EndChanged(end=LEFT))
    bench.pair(MS, "r-b", 2)
    assert bench.swapped_at() == 0
    assert bench.released() == [(LEFT, "cutoff")]


def test_the_fixed_tree_and_swap_asap_give_nothing_up_by_themselves() -> None:
    for mode in ("fixed_tree", "swap_asap"):
        bench = AdaptiveBench(mode)
        bench.pair(0, "a-r", 1)
        bench.wait(2 * T_ROOT_NS)
        assert bench.released() == []


# ---- a stale ledger


def test_with_a_doubted_node_on_the_route_the_default_tree_is_followed() -> None:
    bench = AdaptiveBench("oldest")
    bench.suspects = frozenset({"z"})
    bench.pair(0, "a-r", 1)
    bench.pair(0, "r-b", 2)
    bench.wait(10 * MS)
    assert bench.swapped_at() == 0  # oldest would swap; the tree waits for (w,r) and (r,z)
    bench.grown(11 * MS, LEFT, "w")
    bench.grown(11 * MS, RIGHT, "z")
    assert bench.swapped_at() == 1


def test_a_doubted_node_elsewhere_changes_nothing() -> None:
    bench = AdaptiveBench("oldest")
    bench.suspects = frozenset({"somewhere"})
    bench.pair(0, "a-r", 1)
    bench.pair(MS, "r-b", 2)
    assert bench.swapped_at() == 1


def test_when_the_doubt_is_over_the_policy_decides_again_within_a_wait_time() -> None:
    bench = AdaptiveBench("oldest")
    bench.suspects = frozenset({"z"})
    bench.pair(0, "a-r", 1)
    bench.pair(0, "r-b", 2)
    bench.wait(10 * MS)
    bench.suspects = frozenset()
    bench.wait(10 * MS + WAIT_NS)
    assert bench.swapped_at() == 1


# ---- another plan


def test_a_new_plan_s_policy_decides_about_the_pairs_that_are_there() -> None:
    bench = AdaptiveBench("fixed_tree")
    bench.pair(0, "a-r", 1)
    bench.pair(0, "r-b", 2)
    bench.wait(10 * MS)
    assert bench.swapped_at() == 0
    bench.install(11 * MS, "oldest", version=3)
    bench.wait(12 * MS)
    assert bench.swapped_at() == 1


def test_a_new_plan_s_patience_is_its_own() -> None:
    bench = AdaptiveBench("oldest(cutoff=none)")
    bench.pair(0, "a-r", 1)
    bench.install(WAIT_NS, "oldest(cutoff=none, discard=3)", version=3)
    bench.wait(4 * WAIT_NS - 1)
    assert bench.released() == []
    bench.wait(4 * WAIT_NS)
    assert bench.released() == [(LEFT, "cutoff")]


def row(*nodes: NodeId) -> Entanglement:
    qubits = (QubitId(nodes[0], 1, 0, 1), QubitId(nodes[1], 1, 0, 1))
    return Entanglement(
        end_nodes=(nodes[0], nodes[1]),
        request="r",
        created_ns=0,
        age_ns=0,
        fidelity=1.0,
        usage="r/0",
        memories=qubits,
        ends=(LEFT, RIGHT),
        frame=0,
        hops=1,
        state=PERFECT,
    )


def test_form_a_sees_in_the_ledger_which_partners_are_there() -> None:
    """(a,r) and (r,b) are off the plan; their partners of the plan, (w,a) and (b,z), are on their way, which
    is worth more than swapping now. When the ledger has both, waiting for them loses nothing more."""
    for rows, swaps in (([], 0), ([row("a", "w")], 0), ([row("a", "w"), row("b", "z")], 1)):
        bench = AdaptiveBench("score(form=A, relief=0)")
        bench.view.rows = rows
        bench.pair(0, "a-r", 1)
        bench.pair(0, "r-b", 2)
        bench.wait(MS)
        assert bench.swapped_at() == swaps


def test_pairs_that_lead_off_the_route_are_not_eligible() -> None:
    """Property (vii) of algorithms.md 8.1."""
    for mode in ("oldest", "score", "longest_hop", "youngest"):
        bench = AdaptiveBench(mode)
        bench.pair(0, "a-r", 1)
        bench.view.owners[LEFT] = "elsewhere"
        bench.notice(MS, EndChanged(end=LEFT))
        bench.pair(2 * MS, "r-b", 2)
        bench.wait(100 * MS)
        assert bench.swapped_at() == 0
