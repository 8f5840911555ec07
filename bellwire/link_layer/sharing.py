"""What one end of a link does differently where memories or emitters serve other links and lanes too.

Owns, for one end: its turns, what it believes of the other end's memories and what it told it of its own, and
the turns that side 1 could grant. Refuses the choice of turns (arbiter.py), and links of which every lane has
its own memory and emitter at both ends: those have no such part and pay nothing for it.
"""

from collections.abc import Callable, Mapping
from typing import Final, Protocol

from bellwire.core.errors import LocalMisuse
from bellwire.core.ids import NodeId, RequestId
from bellwire.core.link_messages import MemoryFree, Window, WindowAnswer
from bellwire.core.machine import Step
from bellwire.core.settings import LinkSettings, NetworkSettings
from bellwire.core.view import SlotBook
from bellwire.link_layer.agreement import TURNS
from bellwire.link_layer.arbiter import Arbiter, SharingEnd
from bellwire.link_layer.births import Births
from bellwire.link_layer.flow import TRUST_SHARE, Belief
from bellwire.link_layer.lanes import Lanes
from bellwire.link_layer.turn_taker import TurnTaker
from bellwire.link_layer.turns import check_turns, duty_of
from bellwire.link_layer.uses import LinkHandler

REFUSALS_MAX: Final = 2
"""After so many refusals in a row a link asks for its home alone, which nobody can refuse for long."""


class LaneEnd(SharingEnd, Protocol):
    """What this part reads of its link end."""

    side: int
    peer: NodeId
    lanes: Lanes
    births: Births
    counters: dict[str, int]


def shares_anything(network: NetworkSettings, link: LinkSettings) -> bool:
    """True when memories or emitters of a link serve others too, at either end."""
    return link.turn_ns > 0 or any(is_limited(network, link, side) for side in (0, 1))


def is_limited(network: NetworkSettings, link: LinkSettings, side: int) -> bool:
    """True when not every lane of a link can always have a memory and an emitter at this side."""
    memory = network.nodes[link.nodes[side]].memory
    return link.shared[side] or (memory is not None and memory.emitters is not None)


class Sharing:
    """Of one end of one link. Satisfies uses.Timed."""

    def __init__(
        self,
        network: NetworkSettings,
        end: LaneEnd,
        slots: SlotBook,
        arm: Callable[[Step, int], None],
    ) -> None:
        """`arm`: attempt on one lane if that is possible.

        Raises:
            LocalMisuse: no attempt fits into a turn.
        """
        link = end.settings
        check_turns(link)
        self.arbiter: Arbiter | None = None  # of the node; set before the first event
        self.limited = is_limited(network, link, end.side)
        self._partner_limited = is_limited(network, link, 1 - end.side)
        self._end = end
        self._slots = slots
        self._arm = arm
        trust_ns = link.lease_ns // TRUST_SHARE
        self._partner = Belief(link.lanes, in_bank=link.shared[1 - end.side], trust_ns=trust_ns)
        self._told = Belief(link.lanes, in_bank=link.shared[end.side], trust_ns=trust_ns)
        self._newest = -1  # success of the run
        self._hint: tuple[int, ...] = ()
        self._refusals = 0  # offers in a row that were refused for their turns
        self.taker = TurnTaker(end.book, end.lanes, self.arm_all) if link.turn_ns else None
        if self.limited:
            end.lanes.may_start = self._may_start
            end.births.may_keep = self._may_keep
        end.counters.update(dict.fromkeys(("turns_refused", "no_turn", "memory_told"), 0))

    # ---- turns

    def wished(self, now_ns: int) -> tuple[int, ...]:
        """Turns for the next window; (): none can be had now, or the link takes none."""
        home_only = self._refusals >= REFUSALS_MAX
        return self._node().wished(self._end.settings.link, now_ns, self._hint, home_only=home_only)

    def without_turn(self, now_ns: int) -> bool:
        """True when the link takes turns and can have none at the moment."""
        return self._end.settings.turn_ns > 0 and not self.wished(now_ns)

    def judged(self, window: Window) -> tuple[str, tuple[int, ...]]:
        """Side 1: why the turns of a window cannot be granted ("": they can), and which could be."""
        verdict = self._node().judged(self._end.settings.link, window)
        known = window in self._end.book.windows  # a repeated offer: the answer was lost
        if verdict.accepted or known:
            return "", verdict.granted
        self._end.book.turned_down = (window.run, window.fence)
        return TURNS, verdict.granted

    def answered(self, answer: WindowAnswer) -> bool:
        """Side 0 heard which turns side 1 could grant. True when the offer was refused for its turns, and
        another one can be made at once."""
        refused = not answer.accepted and answer.reason == TURNS
        self._refusals = 0 if answer.accepted else self._refusals + refused
        news = answer.granted != self._hint
        if answer.accepted or refused:
            self._hint = answer.granted
        if refused:
            self._end.keeper.turned_down()
            self._end.counters["turns_refused"] += 1
        return refused and news and bool(answer.granted)

    def tell_turns(self, step: Step) -> None:
        """Side 1: shares have changed. Side 0 need not wait for its next offer to hear what could be granted;
        when the word is lost, it will."""
        end = self._end
        if end.side == 0 or not end.settings.turn_ns or end.book.run is None or not end.book.windows:
            return
        window = end.book.windows[-1]
        granted = self._node().judged(end.settings.link, window).granted
        if granted and granted != window.granted:
            answer = WindowAnswer(
                link=end.settings.link,
                run=window.run,
                fence=window.fence,
                accepted=True,
                reason="",
                granted=granted,
            )
            step.send(end.peer, answer)

    def turns_told(self, answer: WindowAnswer) -> None:
        """Side 0 hears that the turns which side 1 could grant have changed since it took the window."""
        book = self._end.book
        if answer.accepted and (answer.run, answer.fence) == (book.run, book.fence()):
            self._hint = answer.granted

    def duty(self) -> float:
        """Share of the time in which the link may attempt; while it has no window, what it could have."""
        end, link = self._end, self._end.settings
        if not link.turn_ns:
            return 1.0
        if end.book.windows:
            return duty_of(link, end.book.windows[-1].granted)
        share = self._node().share(link.link)
        return duty_of(link, tuple(range(share))) if share else 0.0

    def _node(self) -> Arbiter:
        if self.arbiter is None:
            raise LocalMisuse(f"link {self._end.settings.link} shares memories, but nobody arbitrates them")
        return self.arbiter

    # ---- attempts

    def windows_changed(self, step: Step) -> None:
        """A window was agreed: attempt when it is our turn."""
        if self.taker is not None:
            self.taker.look(step)
        else:
            self.arm_all(step)

    def end_turn_if_over(self, step: Step) -> None:
        """Give back what others may use, when the turn of the link is over."""
        if self.taker is not None:
            self.taker.end_if_over(step)

    def left_run(self) -> None:
        """Nothing of the run counts any more."""
        self._newest = -1
        self._partner.forget()
        self._told.forget()
        if self.taker is not None:
            self.taker.forget()

    def arm_all(self, step: Step) -> None:
        """Attempt on every lane that may, those first on which the other end is at work."""
        self._partner.expire(step.now_ns)
        for lane in self._partner.order():
            self._arm(step, lane)
        self._tell(step)

    def _may_start(self, lane: int, now_ns: int) -> bool:
        end = self._end
        return self._partner.takes_part(lane, end.lanes.attempting()) and self._node().may_take(
            end.settings.link
        )

    def _may_keep(self, request: RequestId, tree: int) -> bool:
        return self._node().may_keep(self._end.settings.link, request, tree)

    def born(self, step: Step, run: int, attempt: int, lane: int) -> None:
        """A pair was made: its memory is taken at both ends, and another may be at work instead."""
        if run != self._end.book.run:
            return
        self._newest = max(self._newest, attempt)
        self._partner.born(run, attempt, lane, step.now_ns)
        self._told.born(run, attempt, lane, step.now_ns)
        if self.limited:
            self.arm_all(step)

    # ---- flow control

    def on_messages(self) -> Mapping[type, LinkHandler]:
        return {MemoryFree: self._heard}

    def _heard(self, step: Step, source: NodeId, message: MemoryFree) -> None:
        """The other end told what it has. Where it does not work, our memory is better used elsewhere."""
        end = self._end
        if message.run != end.book.run or not self.limited:
            return
        self._partner.told(message, step.now_ns)
        # Of two banks one end follows the other, or both would move and miss each other again.
        if not end.settings.shared[1 - end.side] or end.side == 1:
            for lane in end.lanes.attempting():
                busy = [other for other in end.lanes.attempting() if other != lane]
                if not self._partner.takes_part(lane, busy):
                    end.lanes.end_attempt(step, lane)
        self.arm_all(step)

    def _tell(self, step: Step) -> None:
        end = self._end
        link = end.settings
        if not self._partner_limited or end.book.run is None:
            return
        self._told.expire(step.now_ns)
        lanes, free = end.lanes.attempting(), 0
        if len(lanes) == link.lanes and self._told.enough():
            return  # as it was told
        if link.shared[end.side]:
            free = self._node().takeable(link.link)
        else:
            slots = self._slots.of_link(link.link)
            lanes = tuple(slot.lane for slot in slots if slot.state in ("free", "attempting"))
        if self._told.says(lanes, free):
            return
        message = MemoryFree(link=link.link, run=end.book.run, attempt=self._newest, lanes=lanes, free=free)
        end.counters["memory_told"] += 1
        self._told.told(message, step.now_ns)
        step.send(end.peer, message)

    # ---- time

    def deadline_ns(self) -> int | None:
        """A turn begins or ends, or a belief that keeps lanes from attempting is given up."""
        believed = self._partner.deadline_ns() if self.limited else None
        turn = None if self.taker is None else self.taker.deadline_ns()
        return turn if believed is None or (turn is not None and turn < believed) else believed

    def on_deadline(self, step: Step) -> None:
        """Do what is due."""
        if self._partner.expire(step.now_ns) and self.limited:
            self.arm_all(step)
        turn = None if self.taker is None else self.taker.deadline_ns()
        if self.taker is not None and turn is not None and turn <= step.now_ns:
            self.taker.on_deadline(step)
