"""Two ends of a link under anything that can happen to them: they never disagree for long, and nothing leaks.

Bound (`disagreement_ns`): when the channel has been good for so long, no slot holds half of a pair whose
other half was never in memory, or is void, at the other end. It is one silence of the station (the run is
given up), the lease of the window that then lapses, a held qubit's wait for its report, and the tries after
which a pair of a CREATE is given up, each with a round trip.
"""

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from bellwire.core.events import OutboxChanged, TimerFired
from bellwire.core.ids import End
from bellwire.core.notices import SlotFreed
from bellwire.core.settings import Timers
from bellwire.link_layer.counting import COUNT_TRIES_MAX
from tests.link_layer.bench import MS, Channel
from tests.link_layer.creating import CreateBench, check_each_ended_once

GOOD = Channel(jitter_ns=1 * MS)
BAD = Channel(loss=0.3, copies=0.3, jitter_ns=8 * MS)
AWFUL = Channel(loss=0.9, copies=0.1, jitter_ns=20 * MS)

TIMERS = Timers(
    answer_ns=20 * MS, station_silence_ns=300 * MS, herald_wait_ns=100 * MS, age_max_ns=60_000 * MS
)
VOID = ("unusable", "dead", "withdrawn", "device_lost")
"""A half that ended for such a reason leaves nothing to the other half."""


def disagreement_ns(bench: CreateBench) -> int:
    """The stated bound, from the timers of the link."""
    timers = bench.network.timers
    return (
        timers.station_silence_ns
        + timers.herald_wait_ns
        + bench.link.lease_ns
        + COUNT_TRIES_MAX * (timers.answer_ns + 2 * GOOD.jitter_ns)
    )


def held(bench: CreateBench, node: str) -> set[End]:
    return {slot.end for slot in bench.sinks[node][-1].slots.slots() if slot.end is not None}


def lonely(bench: CreateBench) -> set[End]:
    """Ends held whose other half its owner never had, or gave up for a reason that ends both."""
    found = set()
    for node, peer in (("a", "b"), ("b", "a")):
        there = bench.sinks[peer][-1]
        for end in held(bench, node):
            gone = there.released.get(end.partner) in VOID
            if (end.partner not in there.born or gone) and end not in BEFORE_RESTART:
                found.add(end)
    return found


BEFORE_RESTART: set[End] = set()
"""Ends that were held when the other end restarted: the ledger's rule for restarts ends them, not we."""


class TwoEnds(RuleBasedStateMachine):
    """Every rule is something that happens in a lab."""

    @initialize(seed=st.integers(0, 2**16), station=st.booleans())
    def build(self, seed: int, station: bool) -> None:
        BEFORE_RESTART.clear()
        self.station = station
        self.bench = CreateBench(
            seed, station=station, channel=GOOD, timers=TIMERS, link={"creates_max": 12}, held_for_ns=10**15
        )
        self.good_since_ns = 0
        self.ids = {"a": 0, "b": 0}
        self.alone: dict[End, int] = {}  # ends without another half -> first seen so
        self.both_want("r", 1)
        self._run(50)

    @rule(node=st.sampled_from("ab"), request=st.sampled_from("rst"), weight=st.integers(1, 4))
    def want(self, node: str, request: str, weight: int) -> None:
        self.bench.want(node, request, weight)

    @rule(node=st.sampled_from("ab"), request=st.sampled_from("rst"))
    def drop(self, node: str, request: str) -> None:
        self.bench.drop(node, request)

    @rule(request=st.sampled_from("rs"), late_ms=st.integers(0, 30))
    def both_want(self, request: str, late_ms: int) -> None:
        self.bench.want("a", request)
        self._run(late_ms)
        self.bench.want("b", request)

    @rule(request=st.sampled_from("rs"), late_ms=st.integers(0, 30), first=st.sampled_from("ab"))
    def both_drop(self, request: str, late_ms: int, first: str) -> None:
        self.bench.drop(first, request)
        self._run(late_ms)
        self.bench.drop("b" if first == "a" else "a", request)

    @rule(time_ms=st.integers(1, 600))
    def time_passes(self, time_ms: int) -> None:
        self._run(time_ms)

    def _run(self, time_ms: int) -> None:
        """Time passes; every few milliseconds pairs that both ends hold are used up at both of them."""
        end_ns = self.bench.now_ns + time_ms * MS
        while self.bench.now_ns < end_ns:
            self.bench.run(min(end_ns, self.bench.now_ns + 10 * MS))
            here, there = (self.bench.sinks[node][-1] for node in "ab")
            for end in sorted(held(self.bench, "a")):
                if end in here.ready and end.partner in there.ready and end.partner in held(self.bench, "b"):
                    for node, sink, one in (("a", here, end), ("b", there, end.partner)):
                        slot = sink.slots.holding(one)
                        if slot is None:
                            continue  # news of the other half's end came first
                        sink.slots.free(slot.index)
                        self.bench.machines[node]._step.tell(SlotFreed(slot=slot.index))
                        self.bench.tell(node, TimerFired())

    @precondition(
        lambda self: self.station
    )  # without a station the hardware tells both ends: nothing is lost
    @rule(channel=st.sampled_from((BAD, AWFUL)))
    def channel_worsens(self, channel: Channel) -> None:
        self.bench.channel = channel

    @rule()
    def channel_is_good(self) -> None:
        if self.bench.channel is not GOOD:
            self.bench.channel = GOOD
            self.good_since_ns = self.bench.now_ns

    @rule(wanted=st.booleans())
    def channel_is_good_for_longer_than_the_bound(self, wanted: bool) -> None:
        self.channel_is_good()
        if wanted:
            self.both_want("r", 1)
        self._run(disagreement_ns(self.bench) // MS + 100)

    @rule(node=st.sampled_from("abm"))
    def somebody_restarts(self, node: str) -> None:
        if node == "m" and not self.station:
            return
        for peer in "ab":
            if peer != node and node != "m":
                BEFORE_RESTART.update(held(self.bench, peer))
        self._run(1)  # what was asked before is known to have been before
        self.bench.boot(node)
        self.good_since_ns = max(self.good_since_ns, self.bench.now_ns)

    @rule(node=st.sampled_from("ab"))
    def memory_is_reset(self, node: str) -> None:
        """The instrument forgets everything and is back at once; the layers above let go of what they had."""
        sink = self.bench.sinks[node][-1]
        BEFORE_RESTART.update(end.partner for end in held(self.bench, node) if end in sink.ready)
        for slot in sink.slots.slots():
            if slot.state == "held":
                sink.slots.free(slot.index)
        self.bench.forget_memory(node)
        self.good_since_ns = max(self.good_since_ns, self.bench.now_ns)

    @rule(
        node=st.sampled_from("ab"),
        kind=st.sampled_from(("keep", "measure")),
        count=st.integers(1, 3),
        atomic=st.booleans(),
        within_ms=st.none() | st.integers(5, 400),
    )
    def user_creates(self, node: str, kind: str, count: int, atomic: bool, within_ms: int | None) -> None:
        self.ids[node] += 1
        within_ns = None if within_ms is None else within_ms * MS
        self.bench.create(node, self.ids[node], kind=kind, count=count, atomic=atomic, within_ns=within_ns)

    @rule()
    def users_give_back(self) -> None:
        self.bench.release_all()

    @rule(node=st.sampled_from("ab"), back=st.integers(0, 2))
    def user_cancels(self, node: str, back: int) -> None:
        self.bench.cancel(node, self.ids[node] - back)

    @rule(node=st.sampled_from("ab"), full=st.booleans())
    def outbox(self, node: str, full: bool) -> None:
        self.bench.tell(node, OutboxChanged(full=full))

    @invariant()
    def they_agree_after_the_bound(self) -> None:
        if not hasattr(self, "bench"):
            return
        now_ns = self.bench.now_ns
        self.alone = {end: self.alone.get(end, now_ns) for end in lonely(self.bench)}
        if self.bench.channel is GOOD:
            for end, since_ns in self.alone.items():
                assert now_ns - max(since_ns, self.good_since_ns) <= disagreement_ns(self.bench), end

    @invariant()
    def pairs_that_both_use_are_bound_alike(self) -> None:
        if not hasattr(self, "bench"):
            return
        there = self.bench.sinks["b"][-1]
        for end, use in self.bench.sinks["a"][-1].ready.items():
            if end.partner in there.ready:
                assert there.ready[end.partner] == use

    def teardown(self) -> None:
        """When everybody has gone and the channel was good for the bound, every CREATE has ended, and every
        slot is free but those that only the ledger would free."""
        if not hasattr(self, "bench"):
            return
        bench = self.bench
        bench.channel = GOOD
        for node in "ab":
            bench.tell(node, OutboxChanged(full=False))
            for request in "rst":
                bench.drop(node, request)
            for create in range(self.ids[node] + 1):
                bench.cancel(node, create)
        for _ in range(4):
            self._run(disagreement_ns(bench) // MS)
            bench.release_all()
        check_each_ended_once(bench)
        assert not lonely(bench)
        for node in "ab":
            assert not bench.creates(node).queue.items
            assert bench.creates(node).pairs.idle()
            for slot in bench.sinks[node][-1].slots.slots():
                assert slot.state == "free" or slot.end in BEFORE_RESTART, (node, slot)


TwoEnds.TestCase.settings = settings(
    derandomize=True,
    phases=(Phase.explicit, Phase.generate),  # a history is read better as it was than made smaller
    deadline=None,
    max_examples=50,
    stateful_step_count=30,
    suppress_health_check=list(HealthCheck),
)
TestTwoEnds = TwoEnds.TestCase
