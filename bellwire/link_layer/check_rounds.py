"""Test rounds: a share of the pairs that both ends measure in one basis, so that the link knows its fidelity.

Owns the measurement of own halves, the exchange of bits, and their joining. Refuses the choice of pairs
(estimation/selection.py) and what the bits say (estimation/unit.py). Test pairs are no facts: nobody above
hears of them. Both ends send their bits and both estimate, so that both can say what a pair is worth;
decisions are side 0's.

A pair of which both bits do not come together does not count. What makes a bit go missing (a lost message, an
instrument without an answer, a pair that only one end has) does not depend on the bit, so the rest stays a
fair sample. Bounds: JOIN_MAX pairs wait for their other bit, the oldest gives way; a batch is sent when it is
full or `answer_ns` after its first bit; every measurement ends by the memory's operation limit.
"""

from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple, TypeVar

from bellwire.core.effects import MeasureQubit, Report
from bellwire.core.errors import PeerViolation
from bellwire.core.events import QubitMeasured
from bellwire.core.ids import End, NodeId
from bellwire.core.link_messages import CheckedPair, PairsChecked
from bellwire.core.machine import Step
from bellwire.core.notices import SlotFreed
from bellwire.link_layer.estimation.counts import BASES
from bellwire.link_layer.estimation.point_estimate import Drift
from bellwire.link_layer.estimation.selection import check_basis
from bellwire.link_layer.estimation.unit import FidelityEstimation
from bellwire.link_layer.ground import Ground
from bellwire.link_layer.uses import FreshPair, LinkHandler

BATCH_MAX: Final = 64
"""Results in one message."""

JOIN_MAX: Final = 1024
"""Pairs that wait for their other bit; those of each side are counted apart."""

TEST_COUNTERS: Final = ("tests", "tests_no_result", "tests_joined", "tests_not_joined", "tests_faded")
"""Pairs taken as tests; of them: without an own bit, with both bits, whose other bit did not come,
and with too little left of the state when they were measured."""

Kind = TypeVar("Kind")

Name = tuple[int, int, int]
"""Run, attempt and lane of a pair."""


class _Own(NamedTuple):
    """What an end knows of a pair that it measured."""

    pair: FreshPair
    basis: int
    bit: int
    at_ns: int


class CheckRounds:
    """The use of pairs as test rounds, at one end of one link."""

    def __init__(
        self,
        ground: Ground,
        estimation: FidelityEstimation,
        learnt: Callable[[Step, int], None],
    ) -> None:
        """`learnt`: tests of an operating point were joined, and its estimate is renewed."""
        self.counters = ground.counters
        ground.begin_counters(*TEST_COUNTERS, "drifts")
        self._link = ground.link
        self._side = ground.side
        self._peer = ground.peer
        self._limit_ns = ground.memory.operation_limit_ns
        self._wait_ns = ground.timers.answer_ns
        self._slots = ground.slots
        self._book = ground.book
        self._estimation = estimation
        self._learnt = learnt
        self._measuring: dict[int, tuple[FreshPair, int]] = {}  # operation -> pair and basis
        self._own: OrderedDict[Name, _Own] = OrderedDict()  # measured, the other bit has not come
        self._theirs: OrderedDict[Name, CheckedPair] = OrderedDict()  # came before the own bit
        self._batch: list[CheckedPair] = []  # not sent yet
        self._batch_run = 0
        self._send_ns: int | None = None

    # ---- the use of pairs

    def _basis(self, end: End) -> int | None:
        window = self._book.ruling(end.attempt)
        if window is None:
            return None
        return check_basis(end.link, end.run, end.attempt, end.lane, window.test_share)

    def _armed_from(self, pair: FreshPair) -> int:
        """From when on the lane's attempts count: not before its window, as the one before may have had
        another operating point. A wait has no memory: it may be counted from any attempt that was still to
        fail."""
        window = self._book.ruling(pair.end.attempt)
        return pair.armed_from if window is None else max(window.first, pair.armed_from)

    def wants(self, pair: FreshPair) -> bool:
        """True for the share of pairs that the window agreed on; which ones follows from their names."""
        return self._basis(pair.end) is not None

    def take(self, step: Step, pair: FreshPair) -> None:
        """Measure the own half at once."""
        basis = self._basis(pair.end)
        assert basis is not None, "wants() said so"
        self.counters["tests"] += 1
        operation = step.operation()
        self._measuring[operation] = (pair._replace(armed_from=self._armed_from(pair)), basis)
        self._slots.measure(pair.slot)
        step.order(
            MeasureQubit(
                operation=operation, slot=pair.slot, basis=BASES[basis], tag=0, within_ns=self._limit_ns
            )
        )

    def void(self, step: Step, end: End) -> bool:
        """The other end has no half of this pair: our bit will find no other."""
        if any(pair.end == end for pair, _ in self._measuring.values()):
            return True
        return self._own.pop((end.run, end.attempt, end.lane), None) is not None

    def lost(self, step: Step) -> None:
        """The memory forgot its qubits: no bit will come that means anything."""
        for pair, _ in self._measuring.values():
            self._slots.lose(pair.slot)
        self.counters["tests_no_result"] += len(self._measuring)
        self._measuring.clear()

    def peer_restarted(self, step: Step) -> None:
        """The other end forgot its bits; measurements of ours go on, and find no other bit."""
        self._drop(self._own)
        self._drop(self._theirs)
        self._batch.clear()
        self._send_ns = None

    # ---- results

    def on_events(self) -> Mapping[type, Callable[[Step, Any], None]]:
        return {QubitMeasured: self._measured}

    def on_messages(self) -> Mapping[type, LinkHandler]:
        return {PairsChecked: self._heard}

    def _measured(self, step: Step, event: QubitMeasured) -> None:
        measuring = self._measuring.pop(event.operation, None)
        if measuring is None:
            return
        pair, basis = measuring
        self._slots.free(pair.slot)
        step.tell(SlotFreed(slot=pair.slot))
        if event.bit is None:
            self.counters["tests_no_result"] += 1
            return
        end = pair.end
        result = CheckedPair(
            attempt=end.attempt, lane=end.lane, bit=event.bit, at_ns=event.at_ns, armed_from=pair.armed_from
        )
        self._collect(step, end.run, result)
        own = _Own(pair, basis, event.bit, event.at_ns)
        theirs = self._theirs.pop((end.run, end.attempt, end.lane), None)
        if theirs is None:
            self._keep(self._own, (end.run, end.attempt, end.lane), own)
        else:
            self._join(step, own, theirs)
            self._settle(step, {pair.point})

    def _collect(self, step: Step, run: int, result: CheckedPair) -> None:
        """One more bit for the other end."""
        if self._batch and run != self._batch_run:
            self._send(step)
        self._batch_run = run
        self._batch.append(result)
        if self._send_ns is None:
            self._send_ns = step.now_ns + self._wait_ns
        if len(self._batch) >= BATCH_MAX:
            self._send(step)

    def _send(self, step: Step) -> None:
        message = PairsChecked(link=self._link.link, run=self._batch_run, results=tuple(self._batch))
        step.send(self._peer, message)
        self._batch.clear()
        self._send_ns = None

    def deadline_ns(self) -> int | None:
        """When a batch is sent though it is not full."""
        return self._send_ns

    def on_deadline(self, step: Step) -> None:
        self._send(step)

    def _heard(self, step: Step, source: NodeId, message: PairsChecked) -> None:
        """Bits of the other end. Raises PeerViolation for what no honest side 1 sends."""
        fault = self._fault(message)
        if fault is not None:
            raise PeerViolation(source, f"{message.link}: test results of {fault}")
        touched: set[int] = set()
        for theirs in message.results:
            name = (message.run, theirs.attempt, theirs.lane)
            own = self._own.pop(name, None)
            if own is None:
                self._keep(self._theirs, name, theirs)
            else:
                self._join(step, own, theirs)
                touched.add(own.pair.point)
        self._settle(step, touched)

    def _fault(self, message: PairsChecked) -> str | None:
        if len(message.results) > BATCH_MAX:
            return f"{len(message.results)} pairs in one message, at most {BATCH_MAX} are allowed"
        for one in message.results:
            if one.bit not in (0, 1) or not 0 <= one.lane < self._link.lanes:
                return f"bit {one.bit} on lane {one.lane} of {self._link.lanes}"
            if not 0 <= one.armed_from <= one.attempt:
                return f"attempt {one.attempt} of a lease from attempt {one.armed_from} on"
        return None

    def _join(self, step: Step, own: _Own, theirs: CheckedPair) -> None:
        pair = own.pair
        mine, other = own.at_ns - pair.at_ns, theirs.at_ns - pair.at_ns
        waited_ns = (other, mine) if self._side else (mine, other)
        counted, drift = self._estimation.tested(
            pair.point, pair.frame, own.basis, (own.bit, theirs.bit), waited_ns, step.now_ns
        )
        self.counters["tests_joined" if counted else "tests_faded"] += 1
        # In turns: an end that gives its memories back between them counts attempts only (Lanes.armed_from).
        first = max(pair.armed_from, theirs.armed_from)
        self._estimation.waited(pair.point, theirs.attempt - first + 1)
        if drift is not None:
            self.counters["drifts"] += 1
            if self._side == 0:
                self._report(step, pair.point, drift)

    def _settle(self, step: Step, points: set[int]) -> None:
        for point in sorted(points):
            self._estimation.settled(point, step.now_ns)
            self._learnt(step, point)

    def _report(self, step: Step, point: int, drift: Drift) -> None:
        step.order(
            Report(
                name="link_fidelity_drifted",
                request=None,
                fields={
                    "link": self._link.link,
                    "point": point,
                    "direction": drift.direction,
                    "fidelity_before": drift.fidelity_before,
                    "fidelity_after": drift.fidelity_after,
                    "fidelity_low": drift.interval.low,
                    "fidelity_high": drift.interval.high,
                    "tests": drift.tests,
                },
            )
        )

    def _keep(self, waiting: OrderedDict[Name, Kind], name: Name, one: Kind) -> None:
        waiting[name] = one
        if len(waiting) > JOIN_MAX:
            waiting.popitem(last=False)
            self.counters["tests_not_joined"] += 1

    def _drop(self, waiting: OrderedDict[Name, Kind]) -> None:
        self.counters["tests_not_joined"] += len(waiting)
        waiting.clear()
