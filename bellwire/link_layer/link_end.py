"""One end of one elementary link: agreement, attempts and heralds joined.

Owns the run, the requests that want pairs, and the birth of own halves. Refuses to know what pairs are used
for. Both ends hold a LinkEnd; side 0 keeps the queue. Words to the outside go through the step of the owning
part.
"""

from bellwire.core.errors import LocalMisuse, PeerViolation
from bellwire.core.events import Heralded
from bellwire.core.ids import NodeId, RequestId
from bellwire.core.link_messages import (
    HeraldBound,
    HeraldReport,
    HeraldUnknown,
    HeraldWanted,
    LinkFigures,
    LinkReset,
    Window,
    WindowAnswer,
    WindowClosed,
    WindowOffer,
    WindowOpened,
)
from bellwire.core.machine import Step
from bellwire.core.plans import PRE_DISTRIBUTED, LinkPlan
from bellwire.core.settings import LinkSettings, MemorySettings, NetworkSettings
from bellwire.core.view import SlotBook
from bellwire.link_layer.agreement import QueueKeeper, WindowBook, fault_of, refusal
from bellwire.link_layer.births import Births
from bellwire.link_layer.check_rounds import CheckRounds
from bellwire.link_layer.creates import Creates
from bellwire.link_layer.division import Division
from bellwire.link_layer.estimation.unit import FidelityEstimation, estimation_of
from bellwire.link_layer.heralds import HeraldSequence
from bellwire.link_layer.lanes import Lanes
from bellwire.link_layer.point_switch import PointSwitch
from bellwire.link_layer.purification import LinkPurification
from bellwire.link_layer.schedulers.words import Shares
from bellwire.link_layer.sharing import Sharing, shares_anything
from bellwire.link_layer.stock import Stock
from bellwire.link_layer.terms import TEST_SHARE_WHOLE, Terms, terms_fault
from bellwire.link_layer.turns import turns_fault
from bellwire.link_layer.uses import LinkHandler, PairUse, Timed

REFUSED_REPEAT_SHARE = 10
"""A refused offer is repeated after answer_ns / this: the other side is usually about to hear of the
request."""

HOLE_REPEAT_SHARE = 4
"""A missing report is asked for again after answer_ns / this: a memory waits for it."""


class LinkEnd:
    """State of one incident link at one node."""

    def __init__(self, network: NetworkSettings, node: NodeId, link: LinkSettings, slots: SlotBook) -> None:
        self.settings = link
        self.side = link.nodes.index(node)
        self.peer = link.nodes[1 - self.side]
        self.requests: dict[tuple[RequestId, int], LinkPlan] = {}
        self.book = WindowBook(link)
        self.keeper = QueueKeeper(link, self.book)
        self.division = Division(link)
        self.keeper.whole_frames = self.division.remembers
        self.sequence = HeraldSequence()
        self.memory_ready = True
        self.valve_shut = False  # back-pressure: no new window is granted or taken while a queue is full
        self.counters: dict[str, int] = dict.fromkeys(
            ("unknown", "runs", "windows", "refused", "given_up"), 0
        )
        self._network = network
        self._timers = network.timers
        self._delay_ns = network.delay_ns(node, self.peer)
        self._slots = slots
        memory = network.nodes[node].memory
        if memory is None:
            raise LocalMisuse(f"{node} has a link but no memory")
        self.lanes = Lanes(link, slots)
        self.births = Births(
            link,
            self.side,
            memory,
            network.timers,
            slots,
            self.book,
            self.keeper,
            self.lanes,
            self.requests,
            self._restart,
            self.counters,
        )
        self.estimation: FidelityEstimation = estimation_of(network, link)
        self.births.estimate = self.estimation.estimate
        self._switch = PointSwitch(self.book, self.arm_all)
        self._codes = {
            herald.code for index in range(max(1, len(link.points))) for herald in link.point(index).heralds
        }
        self.purification = self._make_purification()
        self.creates = Creates(
            network,
            network.nodes[node],
            memory,
            link,
            self.side,
            slots,
            self.book,
            self.lanes,
            self.births,
            self.requests,
            self.estimation,
            self.counters,
        )
        self.stock = self._make_stock()
        self.division.together = self.creates.together
        self.uses: tuple[PairUse, ...] = self._make_uses()
        self.births.uses = self.uses
        self._timed: tuple[Timed, ...] = (self.births, *self.uses)
        if len(link.points) > 1:
            self._timed += (self._switch,)
        self.handlers: dict[type, LinkHandler] = dict(self.births.on_messages())
        for use in self.uses:
            self.handlers.update(use.on_messages())
        self.sharing: Sharing | None = None  # None: every lane has memories and emitters of its own
        if shares_anything(network, link):
            self.sharing = Sharing(network, self, slots, self.arm)
            self._timed += (self.sharing,)
            self.handlers.update(self.sharing.on_messages())
        self._stale = False  # the schedule changed since the last offer
        self._deadline_ns: int | None = None
        self._deadline_moved = True  # something that deadlines depend on has changed

    def _make_uses(self) -> tuple[PairUse, ...]:
        """Who may take a pair before it is handed up, in the order in which they are asked."""
        stock = () if self.stock is None else (self.stock,)
        return (*self._check_rounds(), *stock, self.purification, self.creates)

    def _check_rounds(self) -> tuple[PairUse, ...]:
        memory = self._network.nodes[self.settings.nodes[self.side]].memory
        if not self.settings.test_share or memory is None:
            return ()
        return (
            CheckRounds(
                self.settings,
                self.side,
                memory,
                self._timers,
                self._slots,
                self.book,
                self.estimation,
                self._learnt,
                self.counters,
            ),
        )

    def _make_stock(self) -> Stock | None:
        if self.settings.ahead is None:
            return None
        return Stock(
            self.settings,
            self.side,
            self._memories(),
            self._timers,
            self._slots,
            self.requests,
            self.births.pass_on,
            self.births.let_go,
            lambda plan, now_ns: self.creates.room(plan.request, now_ns),
            self._look_at_stock,
            self.counters,
        )

    def _memories(self) -> tuple[MemorySettings, MemorySettings]:
        one, other = (self._network.nodes[name].memory for name in self.settings.nodes)
        if one is None or other is None:
            raise LocalMisuse(f"{self.settings.link} ends at a node without a memory")
        return one, other

    def _make_purification(self) -> LinkPurification:
        return LinkPurification(
            self.settings,
            self.side,
            self._memories(),
            self._timers,
            self._slots,
            self.requests,
            self.births.hand_up,
            self.births.let_go,
            self.counters,
        )

    # ---- demand

    def started(self, step: Step) -> None:
        """The node runs: pairs ahead of requests are wanted from now on."""
        if self.stock is not None and self.side == 1:
            self.want(step, self.stock.plan())
        elif self.stock is not None:
            self._look_at_stock(step)

    def _look_at_stock(self, step: Step) -> None:
        """Side 0: the link makes pairs for stock as long as it is below its level."""
        assert self.stock is not None
        if self.side == 1:
            return
        if self.stock.short(step.now_ns):
            self.want(step, self.stock.plan())
        else:
            self.drop(step, PRE_DISTRIBUTED)

    def want(self, step: Step, plan: LinkPlan) -> None:
        """A request wants pairs of this link."""
        key = (plan.request, plan.tree)
        if self.requests.get(key) == plan:
            return
        self.requests[key] = plan
        self._demand_changed(step)

    def drop(self, step: Step, request: RequestId) -> None:
        """A request wants no more pairs of this link."""
        gone = [key for key in self.requests if key[0] == request]
        for key in gone:
            del self.requests[key]
        if gone:
            self._demand_changed(step)

    def _demand_changed(self, step: Step) -> None:
        self._deadline_moved = True
        self.purification.demand_changed(step)
        if self.stock is not None:
            self.stock.demand_changed(step)
        if not self.requests:
            self.lanes.stand_down(step)
            if self.side == 0 and self.book.run is not None:
                self._close(step)
        else:
            self.look_at_terms(step)

    def look_at_terms(self, step: Step) -> None:
        """Something that the terms depend on has changed: side 0 offers others when they differ."""
        if self.side == 0 and self.requests and self.keeper.differs(self._terms(step.now_ns)):
            self._stale = True
            self._offer(step)

    # ---- side 0

    def _terms(self, now_ns: int = 0) -> Terms:
        """What side 0 wants to agree on next; in the past: as if it had been asked when the newest window
        began."""
        owners, cycle, anchored = self._shares(now_ns)
        share = round(self.settings.test_share * TEST_SHARE_WHOLE)
        granted = () if self.sharing is None else self.sharing.wished(now_ns)
        return Terms(owners, cycle, point=self._point(), test_share=share, granted=granted, anchored=anchored)

    def _point(self) -> int:
        """The operating point that serves the most demanding request."""
        wanted = [plan.fidelity_min for plan in self.requests.values() if plan.fidelity_min is not None]
        return self.estimation.point_for(max(wanted, default=None), self.point_in_force())

    def _learnt(self, step: Step, point: int) -> None:
        """Tests changed what is known of an operating point: perhaps another one serves better now."""
        newest = self.keeper.offered or (self.book.windows[-1] if self.book.windows else None)
        if self.side == 0 and self.requests and newest is not None and newest.point != self._point():
            self._stale = True
            self._offer(step)

    def _shares(self, now_ns: int) -> Shares:
        """Whom the lanes serve from the next window on."""
        first = self.keeper.soonest(self._delay_ns, now_ns)
        return self.division.shares(self.requests, self.book.run, first, self._point())

    # ---- what planners are told

    def figures(self) -> tuple[LinkFigures, ...]:
        """How fast and how good the link is, at each operating point."""
        return self.estimation.figures()

    def best_fidelity(self) -> float:
        """The highest fidelity that the link is assured to give at any of its operating points, 0..1."""
        return self.estimation.best_fidelity()

    def duty(self) -> float:
        """Share of the time in which the link may attempt, 0..1."""
        return 1.0 if self.sharing is None else self.sharing.duty()

    def point_in_force(self) -> int | None:
        """The operating point of the newest window, None: nobody wants the link at the moment."""
        return self.book.windows[-1].point if self.book.windows else None

    def renew_run(self, step: Step) -> None:
        """Give up the present run and, when anybody wants pairs, start another."""
        self._deadline_moved = True
        if self.side == 1:
            step.send(
                self.peer, LinkReset(link=self.settings.link, reason="attempts cannot be accounted for")
            )
            self._leave_run(step)
            return
        self._leave_run(step)
        self.keeper.offered = None
        if self.requests:
            self._stale = True
            self._offer(step)

    def _offer(self, step: Step) -> None:
        self._deadline_moved = True
        keeper = self.keeper
        if self.valve_shut:
            keeper.repeat_at_ns = step.now_ns + self._timers.answer_ns
            return
        if self.book.run is None:
            keeper.start_run(step.incarnation, step.now_ns)
            self.counters["runs"] += 1
            self._new_run(step)
        window = keeper.offered
        if window is None or self._stale or self.book.attempt_at(step.now_ns) > window.first + self._slack():
            if self.sharing is not None and self.sharing.without_turn(step.now_ns):
                self.counters["no_turn"] += 1
                keeper.repeat_at_ns = step.now_ns + self._timers.answer_ns // REFUSED_REPEAT_SHARE
                return
            window = keeper.propose(self._terms(step.now_ns), self._delay_ns, step.now_ns)
            self._stale = False
        keeper.repeat_at_ns = step.now_ns + self._timers.answer_ns
        step.send(self.peer, WindowOffer(link=self.settings.link, window=window))

    def _slack(self) -> int:
        """Attempts by which an offer may be late and still be repeated unchanged: a tenth of the lease."""
        return self.settings.lease_ns // self.settings.period_ns // 10

    def _close(self, step: Step) -> None:
        self._deadline_moved = True
        run = self.book.run
        if run is not None:
            closed = WindowClosed(link=self.settings.link, run=run, fence=self.book.fence())
            step.send(self.peer, closed)
            if self.settings.station is not None:
                step.send(self.settings.station, closed)
        self._leave_run(step)
        self.keeper.offered = None
        self.keeper.repeat_at_ns = None

    def answered(self, step: Step, answer: WindowAnswer) -> None:
        """Side 1 answered an offer."""
        self._deadline_moved = True
        window = self.keeper.offered
        if window is None or (answer.run, answer.fence) != (window.run, window.fence):
            if self.sharing is not None:
                self.sharing.turns_told(answer)
                self.look_at_terms(step)
            return
        again = self.sharing is not None and self.sharing.answered(answer)
        if answer.accepted:
            self.keeper.agreed()
            self._agreed(step, window)
            if self._stale:
                self._offer(step)
            return
        self.counters["refused"] += 1
        if answer.reason in ("reset", "old run"):
            self.renew_run(step)
        elif again:
            self._offer(step)
        else:
            if answer.reason == "late":
                self.keeper.was_late(step.now_ns)
                self._stale = True  # the same window would come too late again
            self.keeper.repeat_at_ns = step.now_ns + self._timers.answer_ns // REFUSED_REPEAT_SHARE

    # ---- side 1

    def offered(self, step: Step, offer: WindowOffer) -> None:
        """Side 0 proposes a window. Raises PeerViolation when it rules nothing."""
        window = offer.window
        fault = (
            fault_of(window, self.settings.lanes)
            or terms_fault(window, self.settings)
            or turns_fault(window, self.settings)
        )
        if fault is not None:
            raise PeerViolation(self.peer, f"{offer.link}: offers {fault}")
        self._deadline_moved = True
        known = {request for request, _ in self.requests}
        reason = "congested" if self.valve_shut else refusal(self.book, window, known.__contains__)
        granted: tuple[int, ...] = ()
        if not reason and self.sharing is not None:
            reason, granted = self.sharing.judged(window)
        if not reason and window.run != self.book.run:
            self._leave_run(step)
            self.book.begin(window.run, window.epoch_ns)
            self._new_run(step)
        answer = WindowAnswer(
            link=offer.link,
            run=window.run,
            fence=window.fence,
            accepted=not reason,
            reason=reason,
            granted=granted,
        )
        step.send(self.peer, answer)
        if reason:
            self.counters["refused"] += 1
        else:
            self._agreed(step, window)

    def closed(self, step: Step, closed: WindowClosed) -> None:
        """Side 0 ended the run."""
        self._deadline_moved = True
        if closed.run == self.book.run:
            self._leave_run(step)

    # ---- attempts

    def _leave_run(self, step: Step) -> None:
        """Nothing of the present run counts from now on."""
        self.lanes.stand_down(step)
        if self.book.run is not None:
            self.births.leave(step, self.book.run)
        self.book.close()
        if self.sharing is not None:
            self.sharing.left_run()

    def _new_run(self, step: Step) -> None:
        self._deadline_moved = True
        assert self.book.run is not None
        self.sequence.begin(self.book.run, max(step.now_ns, self.book.epoch_ns))
        self.lanes.begin_run()

    def _agreed(self, step: Step, window: Window) -> None:
        self._deadline_moved = True
        self.book.add(window)
        self.counters["windows"] += 1
        self._switch.look(step.now_ns)
        if self.side == 0:
            self.division.agreed(window)
        if self.settings.station is not None:
            step.send(self.settings.station, WindowOpened(link=self.settings.link, window=window))
        if self.sharing is not None:
            self.sharing.windows_changed(step)
        else:
            self.arm_all(step)

    def arm_all(self, step: Step) -> None:
        """Attempt on every lane that may."""
        if self.sharing is not None:
            self.sharing.arm_all(step)
            return
        for lane in range(self.settings.lanes):
            self.arm(step, lane)

    def arm(self, step: Step, lane: int) -> None:
        """Attempt on a free slot, or extend the lease of an attempting one, as far as windows are agreed."""
        if self.memory_ready and self.requests and self.book.windows:
            self.lanes.arm(step, lane, self.book)

    def _restart(self, step: Step, lane: int) -> None:
        """What this slot holds is unknown: initialise it and go on."""
        if self.lanes.stop(step, lane):
            self.counters["unknown"] += 1
            self.arm(step, lane)

    def memory_back(self, step: Step) -> None:
        """The memory answers: lost slots are free again."""
        self.lanes.recover()
        self.arm_all(step)

    # ---- heralds

    def reported(self, step: Step, report: HeraldReport) -> None:
        """A numbered report of the station. Raises PeerViolation for a code or lane that the link lacks."""
        if report.code not in self._codes or not 0 <= report.lane < self.settings.lanes:
            raise PeerViolation(
                self.settings.station or self.peer, f"{report.link}: code {report.code} on lane {report.lane}"
            )
        self._deadline_moved = True
        if self.sequence.take(report, step.now_ns):
            self.keeper.silent_runs = 0
            self.births.heralded(
                step,
                report.run,
                report.number,
                report.attempt,
                report.lane,
                report.code,
                report.at_ns,
                report.sigma_ns,
            )
            if self.sharing is not None:
                self.sharing.born(step, report.run, report.attempt, report.lane)
        if report.run == self.sequence.run:
            self._ask_for_hole(step, report.number)

    def bounded(self, step: Step, bound: HeraldBound) -> None:
        """The station's bound: a success up to there that we did not hear of is a hole."""
        if bound.run != self.sequence.run:
            return
        self._deadline_moved = True
        self.keeper.silent_runs = 0
        self.sequence.heard_ns = step.now_ns
        if bound.fences[self.side] < self.book.fence() and self.settings.station is not None:
            for window in self.book.windows:
                if window.fence > bound.fences[self.side]:
                    step.send(self.settings.station, WindowOpened(link=self.settings.link, window=window))
        self._ask_for_hole(step, bound.number)

    def _ask_for_hole(self, step: Step, number: int) -> None:
        wanted = self.sequence.hole(number, step.now_ns, self._timers.answer_ns // HOLE_REPEAT_SHARE)
        if wanted is not None and self.settings.station is not None and self.sequence.run is not None:
            step.send(
                self.settings.station,
                HeraldWanted(link=self.settings.link, run=self.sequence.run, number=wanted),
                "outcome",
            )

    def unknown(self, step: Step, unknown: HeraldUnknown) -> None:
        """The station cannot say what these attempts gave: slots that took part may hold anything."""
        if unknown.run != self.sequence.run:
            return
        self.sequence.skip_to(unknown.number)
        for lane in range(self.settings.lanes):
            if self.lanes.armed_by(lane, unknown.last):
                self._restart(step, lane)

    def held(self, step: Step, lane: int, run: int, attempt: int) -> None:
        """Hardware froze a slot; the report must follow."""
        if run == self.book.run:
            self.lanes.freeze(lane, attempt, step.now_ns + self._timers.herald_wait_ns)

    def heralded(self, step: Step, event: Heralded) -> None:
        """The hardware told a success directly."""
        self.births.heralded(
            step, event.run, 0, event.attempt, event.lane, event.code, event.at_ns, event.sigma_ns
        )
        if self.sharing is not None:
            self.sharing.born(step, event.run, event.attempt, event.lane)

    # ---- time

    def deadline_ns(self) -> int | None:
        """Repeat an offer, renew a lease, give up a silent station or a frozen qubit; and the uses' own."""
        if self._deadline_moved or self.lanes.moved:
            self._deadline_moved = self.lanes.moved = False
            self._deadline_ns = self._earliest_ns()
        earliest = self._deadline_ns
        for part in self._timed:
            deadline = part.deadline_ns()
            if deadline is not None and (earliest is None or deadline < earliest):
                earliest = deadline
        return earliest

    def _earliest_ns(self) -> int | None:
        deadline = self.keeper.repeat_at_ns
        if self.book.run is not None and self.book.windows:
            due = self._renewal_ns() if self.side == 0 else self._lapse_ns()
            if deadline is None or due < deadline:
                deadline = due
            if self.settings.station is not None and self.requests:
                silent = self.sequence.heard_ns + self._timers.station_silence_ns
                deadline = min(deadline, silent)
        frozen = self.lanes.earliest_ns()
        return frozen if deadline is None or (frozen is not None and frozen < deadline) else deadline

    def _renewal_ns(self) -> int:
        """Side 0 offers the next window when half of the lease is left; a pending offer repeats by its own
        timer."""
        if self.keeper.offered is not None or self.keeper.repeat_at_ns is not None:
            return self._lapse_ns()
        return self.book.ends_ns() - self.settings.lease_ns // 2

    def _lapse_ns(self) -> int:
        """When the last agreed attempt's herald can no longer come."""
        flight = self.settings.click_delay_ns + max(self.settings.herald_delay_ns)
        return self.book.ends_ns() + flight + self._timers.herald_wait_ns

    def on_deadline(self, step: Step) -> None:
        """Do what is due."""
        self._deadline_moved = True
        now_ns = step.now_ns
        for part in self._timed:
            deadline = part.deadline_ns()
            if deadline is not None and deadline <= now_ns:
                part.on_deadline(step)
        for lane in self.lanes.overdue(now_ns):
            self.counters["given_up"] += 1
            self._restart(step, lane)
        if self.book.run is not None and self.book.windows:
            silent = self.settings.station is not None and self.requests
            if silent and self.sequence.heard_ns + self._timers.station_silence_ns <= now_ns:
                self.sequence.heard_ns = now_ns
                self.keeper.silent_runs += 1
                self.renew_run(step)
            elif self._lapse_ns() <= now_ns:
                self._leave_run(step)
                if self.side == 0 and self.requests:
                    self.renew_run(step)
            elif self.side == 0 and self._renewal_ns() <= now_ns:
                if self.requests:
                    self._offer(step)
                else:
                    self._close(step)
        if self.keeper.repeat_at_ns is not None and self.keeper.repeat_at_ns <= now_ns:
            self.keeper.repeat_at_ns = None
            if self.requests:
                self._offer(step)
