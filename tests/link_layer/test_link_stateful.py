"""Two ends of a link under anything that can happen to them: they never disagree for long, and nothing leaks.

Bound (`disagreement_ns`): when the channel has been good for so long, no slot holds half of a pair whose
other half was never in memory, or is void, at the other end. It is one silence of the station (the run is
given up), the lease of the window that then lapses, a held qubit's wait for its report, three repetitions.
"""

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from bellwire.core.events import DeviceChanged, OutboxChanged, TimerFired
from bellwire.core.ids import End
from bellwire.core.notices import SlotFreed
from tests.link_layer.bench import MS, Channel, LinkBench

GOOD = Channel(jitter_ns=1 * MS)
BAD = Channel(loss=0.3, copies=0.3, jitter_ns=8 * MS)
AWFUL = Channel(loss=0.9, copies=0.1, jitter_ns=20 * MS)

FOREVER_NS = 10**15


def disagreement_ns(bench: LinkBench) -> int:
    """The stated bound, from the timers of the link."""
    timers = bench.network.timers
    return (
        timers.station_silence_ns
        + timers.herald_wait_ns
        + bench.link.lease_ns
        + 3 * (timers.answer_ns + 2 * GOOD.jitter_ns)
    )


def held(bench: LinkBench, node: str) -> set[End]:
    return {slot.end for slot in bench.sinks[node][-1].slots.slots() if slot.end is not None}


def lonely(bench: LinkBench) -> set[End]:
    """Ends held whose other half its owner, in its present life, never had or had called unusable."""
    found = set()
    for node, peer in (("a", "b"), ("b", "a")):
        there = bench.sinks[peer][-1]
        for end in held(bench, node):
            if end.partner not in there.ready and end not in BEFORE_RESTART:
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
        self.bench = LinkBench(seed, station=station, channel=GOOD, held_for_ns=FOREVER_NS)
        self.good_since_ns = 0
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
                if end.partner in held(self.bench, "b"):
                    for node, sink, one in (("a", here, end), ("b", there, end.partner)):
                        slot = sink.slots.holding(one)
                        assert slot is not None
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
        self.bench.boot(node)
        self.good_since_ns = max(self.good_since_ns, self.bench.now_ns)

    @rule(node=st.sampled_from("ab"))
    def memory_is_reset(self, node: str) -> None:
        """The instrument forgets everything and is back at once; the layers above let go of what they had."""
        sink = self.bench.sinks[node][-1]
        BEFORE_RESTART.update(end.partner for end in held(self.bench, node))
        lost = DeviceChanged(role="memory", ready=True, lost_state=True, reason="reset")
        for slot in sink.slots.slots():
            if slot.state == "held":
                sink.slots.free(slot.index)
        self.bench.tell(node, lost)

    @rule(node=st.sampled_from("ab"), full=st.booleans())
    def outbox(self, node: str, full: bool) -> None:
        self.bench.tell(node, OutboxChanged(full=full))

    @invariant()
    def they_agree_after_the_bound(self) -> None:
        if not hasattr(self, "bench") or self.bench.channel is not GOOD:
            return
        since_ns = self.bench.now_ns - self.good_since_ns
        if since_ns > disagreement_ns(self.bench):
            alone = lonely(self.bench)
            assert all(self._is_young(end) for end in alone), alone

    def _is_young(self, end: End) -> bool:
        node = "ab"[end.side]
        born = self.bench.sinks[node][-1].born[end]
        return self.bench.now_ns - born.at_ns <= disagreement_ns(self.bench)

    @invariant()
    def pairs_that_both_use_are_bound_alike(self) -> None:
        if not hasattr(self, "bench"):
            return
        there = self.bench.sinks["b"][-1]
        for end, use in self.bench.sinks["a"][-1].ready.items():
            if end.partner in there.ready:
                assert there.ready[end.partner] == use

    def teardown(self) -> None:
        """When everybody has gone and the channel was good for the bound, every slot is free."""
        if not hasattr(self, "bench"):
            return
        bench = self.bench
        bench.channel = GOOD
        for node in "ab":
            bench.tell(node, OutboxChanged(full=False))
            for request in "rst":
                bench.drop(node, request)
        bench.run(bench.now_ns + disagreement_ns(bench) + 1000 * MS)
        assert not lonely(bench)
        for node in "ab":
            states = {slot.state for slot in bench.sinks[node][-1].slots.slots() if slot.end is None}
            assert states <= {"free"}, node


TwoEnds.TestCase.settings = settings(
    derandomize=True,
    deadline=None,
    max_examples=50,
    stateful_step_count=30,
    suppress_health_check=list(HealthCheck),
)
TestTwoEnds = TwoEnds.TestCase
