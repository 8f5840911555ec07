"""From a herald to a pair in somebody's hands, and back when it turns out to be none.

Owns what a herald means at one end: whom it serves, which use takes it, the birth of the own half, and who
must give a half up. Refuses agreement and attempts (link_end.py, lanes.py), and what the ends tell each other
of void pairs (expiry.py).
"""

from collections.abc import Callable, Mapping

from bellwire.core.bell import Walsh
from bellwire.core.effects import ReleaseQubit
from bellwire.core.errors import PeerViolation
from bellwire.core.facts import Born, Released
from bellwire.core.ids import End, RequestId, end_of
from bellwire.core.link_messages import ScheduleEntry, Window
from bellwire.core.machine import Step
from bellwire.core.notices import EndDied, LinkPairReady, SlotFreed, UpdatePair
from bellwire.core.plans import PRE_DISTRIBUTED
from bellwire.core.settings import HeraldEstimate
from bellwire.core.view import SlotView
from bellwire.link_layer.agreement import QueueKeeper
from bellwire.link_layer.binding import entry_for
from bellwire.link_layer.estimation.selection import check_basis
from bellwire.link_layer.expiry import Expiry
from bellwire.link_layer.ground import Ground
from bellwire.link_layer.lanes import Lanes
from bellwire.link_layer.uses import FreshPair, LinkHandler, PairUse

Estimate = Callable[[int, int], HeraldEstimate]
"""(operating point, herald code) -> what the link is believed to give."""


class Births:
    """Heralds of one link end, and the uses of its pairs."""

    def __init__(
        self,
        ground: Ground,
        keeper: QueueKeeper,
        lanes: Lanes,
        restart: Callable[[Step, int], None],
    ) -> None:
        """`restart`: initialise what a lane's slot holds, and go on attempting."""
        self.uses: tuple[PairUse, ...] = ()
        self.estimate: Estimate = lambda point, code: self._heralds[point][code]
        # Of a bank that several requests share: may a pair of this request and tree keep the memory in which
        # it was born? None: every memory serves one lane, and it may.
        self.may_keep: Callable[[RequestId, int], bool] | None = None
        self.counters = ground.counters
        ground.begin_counters("heralds", "unusable", "idle", "crowded", "duplicates")
        self._link = link = ground.link
        self._side = ground.side
        self._peer = ground.peer
        self._rates = ground.memory.rates
        self._slots = ground.slots
        self._book = ground.book
        self._keeper = keeper
        self._lanes = lanes
        self._requests = ground.requests
        self._restart = restart
        self._heralds = [
            {herald.code: herald for herald in link.point(index).heralds}
            for index in range(max(1, len(link.points)))
        ]
        self._expiry = Expiry(ground, successes=lanes.successes, gone=self._gone, never_had=self._never_had)

    # ---- heralds

    def heralded(
        self,
        step: Step,
        run: int,
        number: int,
        attempt: int,
        lane: int,
        code: int,
        at_ns: int,
        sigma_ns: int,
    ) -> None:
        """An attempt succeeded: our half exists. If our slot had left the attempt, the pair is void.

        Raises:
            PeerViolation: a code that the operating point of the attempt does not have.
        """
        if run != self._book.run or not self._lanes.first_birth(attempt, lane):
            self.counters["duplicates"] += 1
            return
        self.counters["heralds"] += 1
        book = self._book
        slot = self._lanes.slot_of(lane)
        window = book.windows[0] if len(book.windows) == 1 else book.ruling(attempt)
        in_doubt = self._keeper.in_doubt(attempt)
        entry = None if window is None or in_doubt else entry_for(window, attempt, lane)
        point = 0 if window is None else window.point
        if code not in self._heralds[point]:
            raise PeerViolation(
                self._link.station or self._peer, f"{self._link.link}: code {code} at operating point {point}"
            )
        if entry is None and window is not None and not in_doubt:
            self._nobodys(step, attempt, lane)
            return
        end = end_of((self._link.link, run, attempt, lane, self._side))
        estimate = self.estimate(point, code)
        void_there = self._expiry.void_before(run, attempt, lane)
        usable = (
            slot is not None
            and slot.state == "attempting"
            and self._lanes.armed_by(lane, attempt)
            and entry is not None
            and (entry.request, entry.tree) in self._requests
            and not void_there
        )
        if entry is not None and attempt > book.bound_to:
            book.bound_to = attempt
        if usable and self.may_keep is not None:
            assert entry is not None
            usable = self.may_keep(entry.request, entry.tree)
            self.counters["crowded"] += not usable
        if usable:
            assert entry is not None
            assert slot is not None
            armed_from = self._lanes.armed_from(lane)
            self._lanes.hold(lane, end, entry.request, entry.tree, at_ns)
            pair = FreshPair(
                end,
                slot.index,
                entry.request,
                entry.tree,
                estimate.frame,
                Walsh(estimate.signs, estimate.cost),
                at_ns,
                sigma_ns,
                number,
                point,
                armed_from=armed_from,
            )
            self.pass_on(step, pair)
            return
        self.counters["unusable"] += 1
        if entry is None or window is None or not self._private(window, entry, end):
            # Whoever takes the other half at the other end learns from the ledger that this one is gone.
            self._born_and_gone(step, end, estimate, slot, entry, at_ns, sigma_ns)
        if not void_there:
            self._expiry.void(step, run, attempt, lane)
        if slot is not None and slot.state == "attempting" and self._lanes.armed_by(lane, attempt):
            self._restart(step, lane)

    def _nobodys(self, step: Step, attempt: int, lane: int) -> None:
        """A pair of a frame that serves nobody: the other end knows it as we do, and drops its half too."""
        self.counters["idle"] += 1
        if attempt > self._book.bound_to:
            self._book.bound_to = attempt
        self._lanes.rest(lane, self._book)
        slot = self._lanes.slot_of(lane)
        if slot is not None and slot.state == "attempting" and self._lanes.armed_by(lane, attempt):
            self._restart(step, lane)

    def _private(self, window: Window, entry: ScheduleEntry, end: End) -> bool:
        """True when such a pair is no fact before it is handed up: for stock, to be purified, or a test."""
        if entry.request == PRE_DISTRIBUTED:
            return True
        plan = self._requests.get((entry.request, entry.tree))
        if plan is not None and plan.rounds > 0:
            return True
        return check_basis(end.link, end.run, end.attempt, end.lane, window.test_share) is not None

    def pass_on(self, step: Step, pair: FreshPair) -> None:
        """Give a held pair to the first use that wants it, else to the layers above."""
        for use in self.uses:
            if use.wants(pair):
                use.take(step, pair)
                return
        self.hand_up(step, pair)

    def birth(self, step: Step, pair: FreshPair) -> None:
        """Make the own half a fact; who waits for it is not told."""
        slot = self._slots.slot(pair.slot)
        born = Born(
            end=pair.end,
            slot=pair.slot,
            generation=slot.generation,
            request=pair.request,
            tree=pair.tree,
            frame=pair.frame,
            signs=pair.state.signs,
            cost=pair.state.cost,
            rates=self._rates,
            at_ns=pair.at_ns,
            sigma_ns=pair.sigma_ns,
            oldest_ns=pair.oldest_ns,
        )
        step.tell(UpdatePair(fact=born))

    def hand_up(self, step: Step, pair: FreshPair) -> None:
        """Give a held pair to the layers above."""
        self.birth(step, pair)
        at_ns = pair.at_ns if pair.oldest_ns is None else pair.oldest_ns
        step.tell(
            LinkPairReady(end=pair.end, slot=pair.slot, request=pair.request, tree=pair.tree, at_ns=at_ns)
        )

    def let_go(self, step: Step, end: End, *, tell: bool) -> None:
        """Give up an own qubit that nobody above knows of."""
        slot = self._slots.holding(end)
        if slot is not None:
            step.order(ReleaseQubit(slot=slot.index, tag=0))
            self._slots.free(slot.index)
            step.tell(SlotFreed(slot=slot.index))
        if tell:
            self.tell_void(step, end)

    def tell_void(self, step: Step, end: End) -> None:
        """Tell the other end that we have no half of a pair; what our slot holds is left alone."""
        self._expiry.void(step, end.run, end.attempt, end.lane)

    # ---- EXPIRE

    def leave(self, step: Step, run: int) -> None:
        """The end leaves a run: pairs of it that only one end has must be found."""
        self._expiry.leave(step, run)

    def on_messages(self) -> Mapping[type, LinkHandler]:
        return self._expiry.on_messages()

    def _gone(self, step: Step, end: End) -> None:
        """The other end has no half of this pair: whoever has ours gives it up."""
        if not any(use.void(step, end) for use in self.uses) and self._slots.holding(end) is not None:
            step.tell(EndDied(end=end))

    def _never_had(self, step: Step, end: End) -> None:
        """The other end has a half that may be part of a chain by now: the ledger must know that ours is
        gone."""
        estimate = next(iter(self._heralds[0].values()))
        self._born_and_gone(step, end, estimate, None, None, step.now_ns, 0)

    def _born_and_gone(
        self,
        step: Step,
        end: End,
        estimate: HeraldEstimate,
        slot: SlotView | None,
        entry: ScheduleEntry | None,
        at_ns: int,
        sigma_ns: int,
    ) -> None:
        """Two facts of a half that nobody can use. slot, entry: None where the attempt had none."""
        born = Born(
            end=end,
            slot=0 if slot is None else slot.index,
            generation=0 if slot is None else slot.generation,
            request=None if entry is None else entry.request,
            tree=0 if entry is None else entry.tree,
            frame=estimate.frame,
            signs=estimate.signs,
            cost=estimate.cost,
            rates=self._rates,
            at_ns=at_ns,
            sigma_ns=sigma_ns,
        )
        step.tell(UpdatePair(fact=born))
        step.tell(UpdatePair(fact=Released(end=end, reason="unusable", at_ns=step.now_ns)))

    def deadline_ns(self) -> int | None:
        """When unanswered words are said again."""
        return self._expiry.deadline_ns()

    def on_deadline(self, step: Step) -> None:
        """Say unanswered words again."""
        self._expiry.on_deadline(step)
