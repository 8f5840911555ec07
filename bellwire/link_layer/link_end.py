"""One end of one elementary link: agreement, attempts and heralds joined.

Owns the life of a run, the requests that want pairs, and the birth of own halves. Refuses to know what pairs
are used for, and the words about windows (dialogue.py). Both ends hold a LinkEnd; side 0 keeps the queue.
Words to the outside go through the step of the owning part.
"""

from collections.abc import Callable

from bellwire.core.events import Heralded
from bellwire.core.ids import LinkId, NodeId, RequestId
from bellwire.core.link_messages import (
    HeraldBound,
    HeraldReport,
    LinkFigures,
    Window,
    WindowAnswer,
    WindowClosed,
    WindowOffer,
    WindowOpened,
)
from bellwire.core.machine import Step
from bellwire.core.plans import PRE_DISTRIBUTED, LinkPlan
from bellwire.core.settings import LinkSettings, NetworkSettings
from bellwire.core.view import SlotBook
from bellwire.link_layer.agreement import QueueKeeper, WindowBook
from bellwire.link_layer.births import Births
from bellwire.link_layer.dialogue import Dialogue
from bellwire.link_layer.division import Division
from bellwire.link_layer.estimation.unit import FidelityEstimation, estimation_of
from bellwire.link_layer.ground import Ground, memories_of
from bellwire.link_layer.herald_reports import HeraldReports
from bellwire.link_layer.lane_shifts import LaneShifts
from bellwire.link_layer.lanes import Lanes
from bellwire.link_layer.link_watch import TRIAL_ID_LAST, LinkWatch
from bellwire.link_layer.pair_uses import PairUses
from bellwire.link_layer.point_switch import PointSwitch
from bellwire.link_layer.rests import Rests
from bellwire.link_layer.sharing import Sharing, shares_anything
from bellwire.link_layer.slot_ends import SlotEnds
from bellwire.link_layer.uses import LinkHandler, PairUse, Timed
from bellwire.link_layer.wishes import Wishes

StateTold = Callable[[Step, LinkId, str], None]
"""Takes a link and why no pair can be had of it, "" when pairs can."""


class LinkEnd:
    """State of one incident link at one node."""

    def __init__(self, network: NetworkSettings, node: NodeId, link: LinkSettings, slots: SlotBook) -> None:
        """Raises LocalMisuse when an end of the link has no memory."""
        self.settings = link
        self.side = link.nodes.index(node)
        self.peer = link.nodes[1 - self.side]
        self.requests: dict[tuple[RequestId, int], LinkPlan] = {}
        self.book = WindowBook(link)
        self.keeper = QueueKeeper(link, self.book)
        self.division = Division(link)
        self.keeper.whole_frames = self.division.remembers
        self.memory_ready = True
        self.counters: dict[str, int] = dict.fromkeys(
            ("unknown", "runs", "windows", "refused", "given_up"), 0
        )
        self._timers = network.timers
        ground = Ground(
            link=link,
            side=self.side,
            memories=memories_of(network, link),
            timers=network.timers,
            delay_ns=network.delay_ns(node, self.peer),
            slots=slots,
            book=self.book,
            requests=self.requests,
            counters=self.counters,
        )
        self.lanes = Lanes(link, slots)
        self.births = Births(ground, self.keeper, self.lanes, self._restart)
        self.estimation: FidelityEstimation = estimation_of(link, ground.memories)
        self.births.estimate = self.estimation.estimate
        self._switch = PointSwitch(self.book, self.arm_all)
        pair_uses = PairUses(
            ground,
            network.nodes[node].purposes,
            self.lanes,
            self.births,
            self.estimation,
            learnt=self._learnt,
            level_changed=self._look_at_stock,
        )
        self.purification, self.creates, self.stock = (
            pair_uses.purification,
            pair_uses.creates,
            pair_uses.stock,
        )
        self.division.together = self.creates.together
        self.uses: tuple[PairUse, ...] = pair_uses.in_order
        self.births.uses = self.uses
        self._demand_news = pair_uses.demand_changed
        self._timed: tuple[Timed, ...] = (self.births, *self.uses)
        self._shifts = LaneShifts(ground, self.division.waiting)
        self._slot_ends: SlotEnds | None = None  # None: the link follows no network schedule
        if link.turns_granted is not None:
            self._slot_ends = SlotEnds(ground, self.division.waiting)
            self._timed += (self._slot_ends,)
        elif link.shift_ns:
            self._timed += (self._shifts,)
        if len(link.points) > 1:
            self._timed += (self._switch,)
        self.handlers: dict[type, LinkHandler] = dict(self.births.on_messages())
        for use in self.uses:
            self.handlers.update(use.on_messages())
        self.reports = HeraldReports(ground, self.keeper, self.lanes, self._report_born, self._restart)
        self.wishes = Wishes(ground, self.keeper, self.division, self.estimation)
        self.dialogue = Dialogue(ground, self.keeper, self.wishes, self)
        self.rests = Rests(self.book, self.lanes, self.arm_all)
        self.wishes.rests = self.dialogue.rests = self.rests
        self._timed += (self.rests,)
        self.sharing: Sharing | None = None  # None: every lane has memories and emitters of its own
        if shares_anything(network, link):
            self.sharing = Sharing(network, self, slots, self.arm)
            self.wishes.sharing = self.dialogue.sharing = self.sharing
            self._timed += (self.sharing,)
            self.handlers.update(self.sharing.on_messages())
        self.state_told: StateTold | None = None  # set by the link service
        trial_id = TRIAL_ID_LAST - network.nodes[node].links.index(link.link)
        self._watch = LinkWatch(ground, self.keeper, self.lanes, self.creates, self._state_changed, trial_id)
        self._timed += (self._watch,)
        self.handlers.update(self._watch.on_messages())
        self._deadline_ns: int | None = None
        self._deadline_moved = True  # something that deadlines depend on has changed

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

    def want(self, step: Step, plan: LinkPlan, *, waits: bool = False) -> None:
        """A request wants pairs of this link. waits: they keep their memories until pairs of others come."""
        key = (plan.request, plan.tree)
        if waits:
            self.division.waiting.add(key)
        if self.requests.get(key) == plan:
            return
        self.requests[key] = plan
        self._demand_changed(step)

    def drop(self, step: Step, request: RequestId) -> None:
        """A request wants no more pairs of this link."""
        gone = [key for key in self.requests if key[0] == request]
        for key in gone:
            del self.requests[key]
        self.division.waiting.difference_update(gone)
        if gone:
            self._demand_changed(step)

    def _demand_changed(self, step: Step) -> None:
        self._deadline_moved = True
        self._demand_news(step)
        if not self.requests:
            self.lanes.stand_down(step)
            if self.side == 0 and self.book.run is not None:
                self.dialogue.close(step)
        else:
            self.look_at_terms(step)

    def look_at_terms(self, step: Step) -> None:
        """Something that the terms depend on has changed: side 0 offers others when they differ."""
        self._deadline_moved = True
        self.dialogue.look_at_terms(step)

    def _learnt(self, step: Step, point: int) -> None:
        """Tests changed what is known of an operating point: perhaps another one serves better now."""
        self._deadline_moved = True
        self.dialogue.look_at_point(step)

    def rest_asked(self, step: Step, number: int, length_ns: int) -> None:
        """Side 0: a calibration wants the link to rest."""
        self._deadline_moved = True
        if self.side == 0 and self.rests.ask(number, length_ns):
            if self.book.run is None:
                self.rests.idle(step, self.settings.link)
            else:
                self.look_at_terms(step)

    def rest_given_up(self, step: Step, number: int) -> None:
        """Side 0: the calibration waits no longer."""
        self.rests.give_up(number)
        self.look_at_terms(step)

    # ---- what planners are told

    def figures(self) -> tuple[LinkFigures, ...]:
        """How fast and how good the link is, at each operating point."""
        return self.wishes.figures()

    def duty(self) -> float:
        """Share of the time in which the link may attempt, 0..1."""
        return self.wishes.duty()

    def point_in_force(self) -> int | None:
        """The operating point of the newest window, None: nobody wants the link at the moment."""
        return self.wishes.point_in_force()

    def down(self) -> str:
        """Why no pair can be had of the link now, as side 0 judges; "": as far as is known, pairs can."""
        return self._watch.down

    def _state_changed(self, step: Step, down: str) -> None:
        if self.state_told is not None:
            self.state_told(step, self.settings.link, down)

    # ---- runs and windows

    def renew_run(self, step: Step) -> None:
        """Give up the present run and, when anybody wants pairs, start another."""
        self._deadline_moved = True
        self.dialogue.renew(step)

    def answered(self, step: Step, answer: WindowAnswer) -> None:
        """Side 1 answered an offer."""
        self._deadline_moved = True
        self.dialogue.answered(step, answer)

    def offered(self, step: Step, offer: WindowOffer) -> None:
        """Side 0 proposes a window. Raises PeerViolation when it rules nothing."""
        self._deadline_moved = True
        self.dialogue.offered(step, offer)

    def closed(self, step: Step, closed: WindowClosed) -> None:
        """Side 0 ended the run."""
        self._deadline_moved = True
        self.dialogue.closed(step, closed)

    def run_left(self, step: Step) -> None:
        """Nothing of the present run counts from now on."""
        self.lanes.stand_down(step)
        if self.book.run is not None:
            self.births.leave(step, self.book.run)
        self.book.close()
        self._shifts.forget()
        if self._slot_ends is not None:
            self._slot_ends.forget()
        self.rests.forget_run()
        self.rests.idle(step, self.settings.link)
        if self.sharing is not None:
            self.sharing.left_run()

    def run_begun(self, step: Step) -> None:
        """The window book has a new run: its reports and attempts are counted from the start."""
        self._deadline_moved = True
        assert self.book.run is not None
        self.reports.sequence.begin(self.book.run, max(step.now_ns, self.book.epoch_ns))
        self.lanes.begin_run()
        self._watch.run_begun(step)

    def window_agreed(self, step: Step, window: Window) -> None:
        """Both ends have a window: attempt as far as it reaches."""
        self._deadline_moved = True
        self.book.add(window)
        self.counters["windows"] += 1
        self._switch.look(step.now_ns)
        if self._slot_ends is not None:
            self._slot_ends.look(step.now_ns)
        else:
            self._shifts.look()
        if self.side == 0:
            self.division.agreed(window)
        self.rests.agreed(step, self.settings.link, window)
        if self.settings.station is not None:
            step.send(self.settings.station, WindowOpened(link=self.settings.link, window=window))
        if self.sharing is not None:
            self.sharing.windows_changed(step)
        else:
            self.arm_all(step)

    # ---- attempts

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

    def memory_changed(self, step: Step, *, ready: bool) -> None:
        """The own memory does not work, or does again."""
        self.memory_ready = ready
        self._watch.memory_changed(step, ready=ready)

    def memory_back(self, step: Step) -> None:
        """The memory answers: lost slots are free again."""
        self.lanes.recover()
        self.arm_all(step)

    # ---- heralds

    def reported(self, step: Step, report: HeraldReport) -> None:
        """A numbered report of the station."""
        self._deadline_moved = True
        self.reports.reported(step, report)

    def _report_born(self, step: Step, report: HeraldReport) -> None:
        first = self.lanes.attempting_from(report.lane, frozen=True)
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
        self._watch.heralded(step, report.run, report.attempt, first)

    def bounded(self, step: Step, bound: HeraldBound) -> None:
        """A bound of the station."""
        self._deadline_moved = True
        self.reports.bounded(step, bound)
        if bound.run == self.book.run:
            self._watch.decided(step, bound.attempt)

    def held(self, step: Step, lane: int, run: int, attempt: int) -> None:
        """Hardware froze a slot; the report must follow."""
        if run == self.book.run:
            self.lanes.freeze(lane, attempt, step.now_ns + self._timers.herald_wait_ns)

    def heralded(self, step: Step, event: Heralded) -> None:
        """The hardware told a success directly."""
        first = self.lanes.attempting_from(event.lane, frozen=True)
        self.births.heralded(
            step, event.run, 0, event.attempt, event.lane, event.code, event.at_ns, event.sigma_ns
        )
        if self.sharing is not None:
            self.sharing.born(step, event.run, event.attempt, event.lane)
        self._watch.heralded(step, event.run, event.attempt, first)

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
            silent = self.reports.silent_ns()
            if silent is not None and self.requests:
                deadline = min(deadline, silent)
        shift_ns = self.wishes.shift_ends_ns
        if shift_ns is not None and (deadline is None or shift_ns < deadline):
            deadline = shift_ns
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
        if self.wishes.shift_ends_ns is not None and self.wishes.shift_ends_ns <= now_ns:
            self.wishes.shift_ends_ns = None
            self.look_at_terms(step)
        if self.book.run is not None and self.book.windows:
            silent = self.reports.silent_ns()
            if silent is not None and self.requests and silent <= now_ns:
                self.reports.gave_up(now_ns)
                self._watch.station_gave_up(step)
                self.renew_run(step)
            elif self._lapse_ns() <= now_ns:
                self.run_left(step)
                if self.side == 0 and self.requests:
                    self.renew_run(step)
            elif self.side == 0 and self._renewal_ns() <= now_ns:
                if self.requests:
                    self.dialogue.offer(step)
                else:
                    self.dialogue.close(step)
        if self.keeper.repeat_at_ns is not None and self.keeper.repeat_at_ns <= now_ns:
            self.keeper.repeat_at_ns = None
            if self.requests:
                self.dialogue.offer(step)
