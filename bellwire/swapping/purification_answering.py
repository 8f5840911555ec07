"""The answering side of a purification between distant nodes: measures when asked, and obeys the verdict.

Owns the rounds that this node has measured for. Refuses to decide: after measuring only the verdict keeps the
pair. The verdict is a fact of the asker's stream and comes by the ledger; without it within the lease, which
counts from the own measurement, the kept end is released and so the pair dies for everybody.

A peer is not taken at its word: both pairs must join this node with the asker in the own ledger too, and a
round must be one more than the ledger knows of. What a peer asked for before it restarted is void.
"""

from collections import OrderedDict
from typing import Final, NamedTuple

from bellwire.core.errors import PeerViolation
from bellwire.core.events import PairPurified
from bellwire.core.facts import ReleaseReason
from bellwire.core.ids import End, NodeId
from bellwire.core.machine import Step
from bellwire.core.messages import PurificationAnswer, PurificationWanted
from bellwire.core.view import LedgerView, SlotView
from bellwire.swapping.purification_ground import PurificationGround

ENDED_KEPT: Final = 512
"""Rounds that are over and remembered, so that stray copies of their words change nothing."""

UNREAD_MAX: Final = 16
"""Words that wait for the ledger, which is read within the same step; more are refused."""

Name = tuple[int, End]
"""A round: the asker's number and its end of the kept pair."""


class Asked(NamedTuple):
    """A word of a peer, and which of the peer's lives it is from."""

    asker: NodeId
    incarnation: int
    wanted: PurificationWanted


class TakenRound:
    """One round that this node measures or has measured for."""

    __slots__ = ("answer", "asker", "died", "incarnation", "kept", "lapse_ns", "measured", "wanted")

    def __init__(self, asked: Asked, kept: SlotView, measured: SlotView) -> None:
        self.wanted = asked.wanted
        self.asker = asked.asker
        self.incarnation = asked.incarnation
        self.kept = kept
        self.measured = measured
        self.answer: PurificationAnswer | None = None  # None: still measuring
        self.lapse_ns = 0  # once measured
        self.died = False


class PurificationAnswering:
    """All rounds that this node was asked for."""

    def __init__(self, ground: PurificationGround) -> None:
        self._ground = ground
        self.taken: dict[Name, TakenRound] = {}
        self._measuring: dict[int, TakenRound] = {}
        self._ended: OrderedDict[Name, PurificationAnswer | None] = OrderedDict()  # a refusal, None: taken
        self._incarnations: dict[NodeId, int] = {}  # of peers that restarted: older words are void
        self.unread: dict[Name, Asked] = {}  # words that the ledger is to be read for

    def wanted(self, step: Step, source: NodeId, incarnation: int, wanted: PurificationWanted) -> None:
        """A peer asks for a round, perhaps again. A new round is `unread` until the ledger has been read."""
        self._check(source, wanted)
        if incarnation < self._incarnations.get(source, incarnation):
            self._ground.counters["void"] += 1
            return
        name = (wanted.number, wanted.kept)
        taken = self.taken.get(name)
        if taken is not None:
            if taken.answer is not None:
                step.send(source, taken.answer, "outcome")
        elif name in self._ended:
            refusal = self._ended[name]
            if refusal is not None:
                step.send(source, refusal, "outcome")
        elif len(self.unread) < UNREAD_MAX:
            self.unread[name] = Asked(source, incarnation, wanted)
        else:
            self._ground.counters["dropped"] += 1
            step.send(source, _answer(wanted, accepted=False), "outcome")

    def _begin(self, step: Step, view: LedgerView, asked: Asked) -> None:
        ground, wanted = self._ground, asked.wanted
        kept, measured = (ground.slots.holding(end) for end in (wanted.kept_far, wanted.measured_far))
        if not (_serves(kept, wanted) and _serves(measured, wanted) and _agrees(view, wanted)):
            refusal = _answer(wanted, accepted=False)
            self._remember((wanted.number, wanted.kept), refusal)
            step.send(asked.asker, refusal, "outcome")
            return
        assert kept is not None
        assert measured is not None
        ground.slots.lock(kept.index)
        ground.slots.lock(measured.index)
        ground.counters["taken"] += 1
        taken = self.taken[wanted.number, wanted.kept] = TakenRound(asked, kept, measured)
        self._measuring[ground.measure(step, kept, measured, 1)] = taken

    def _check(self, source: NodeId, wanted: PurificationWanted) -> None:
        network, node = self._ground.network, self._ground.node
        for end, owner in (
            (wanted.kept, source),
            (wanted.measured, source),
            (wanted.kept_far, node),
            (wanted.measured_far, node),
        ):
            link = network.links.get(end.link)
            if link is None or end.side not in (0, 1) or link.nodes[end.side] != owner:
                raise PeerViolation(source, f"asks to purify {end}, which is no end of {owner}")
        if wanted.kept == wanted.measured or wanted.kept_far == wanted.measured_far:
            raise PeerViolation(source, f"asks to purify {wanted.kept} with itself")
        if source >= node:
            raise PeerViolation(source, f"asks {node} for a round, which only a lower name may do")
        longest_ns = self._ground.lease_of(source)
        if not 1 <= wanted.lease_ns <= longest_ns:
            raise PeerViolation(
                source, f"asks for a lease of {wanted.lease_ns} ns outside 1..{longest_ns} ns"
            )

    def purified(self, step: Step, event: PairPurified) -> None:
        """The own half of a round ended: the asker gets the bit."""
        taken = self._measuring.pop(event.operation, None)
        if taken is None:
            return
        ground, wanted = self._ground, taken.wanted
        bit = event.bit if event.ended == "done" else None
        ground.sacrifice(step, taken.measured, wanted.kept_far, bit, event.at_ns)
        if bit is None or taken.died:
            taken.answer = _answer(wanted, accepted=True)
            self._end(taken)
            ground.release(step, taken.kept, "dead")
        else:
            taken.answer = PurificationAnswer(
                number=wanted.number,
                kept=wanted.kept,
                accepted=True,
                bit=bit,
                at_ns=event.at_ns,
                turned_ns=event.turned_ns,
            )
            taken.lapse_ns = step.now_ns + wanted.lease_ns
        step.send(taken.asker, taken.answer, "outcome")

    def look(self, step: Step, view: LedgerView) -> None:
        """Verdicts may have come: give the kept ends of rounds that passed back. Then begin new rounds."""
        for taken in list(self.taken.values()):
            wanted = taken.wanted
            if taken.answer is not None and view.judged(wanted.kept, wanted.kept_far) >= wanted.rounds:
                self._end(taken)
                self._ground.give_back(step, taken.kept)
        unread, self.unread = self.unread, {}
        for asked in unread.values():
            self._begin(step, view, asked)

    def waits_for(self, end: End) -> bool:
        """True for the kept end of a round that has no verdict yet."""
        return any(taken.wanted.kept_far == end for taken in self.taken.values())

    def died(self, step: Step, end: End) -> None:
        """The kept pair is dead: its verdict was "failed", or something else killed it."""
        for taken in list(self.taken.values()):
            if taken.wanted.kept_far != end:
                continue
            self._void(step, taken, "dead")

    def restarted(self, step: Step, peer: NodeId, incarnation: int) -> None:
        """An asker came back: what it held is gone, and with it the verdicts that it owes."""
        self._incarnations[peer] = incarnation
        for name in [name for name, asked in self.unread.items() if asked.incarnation < incarnation]:
            if self.unread[name].asker == peer:
                del self.unread[name]
        for taken in list(self.taken.values()):
            if taken.asker == peer and taken.incarnation < incarnation:
                self._ground.counters["restarted"] += 1
                self._void(step, taken, "partner_lost")

    def _void(self, step: Step, taken: TakenRound, reason: ReleaseReason) -> None:
        """No verdict can save the kept pair any more; a qubit that is being measured is let go afterwards."""
        if taken.answer is None:
            taken.died = True
        else:
            self._end(taken)
            self._ground.release(step, taken.kept, reason)

    def busy(self) -> bool:
        """True while a round is open, or a word waits for the ledger."""
        return bool(self.taken or self.unread or self._measuring)

    def memory_lost(self, step: Step) -> None:
        """The memory forgot its qubits, and what it was doing."""
        self.unread.clear()
        for taken in list(self.taken.values()):
            self._end(taken)
            self._ground.lose(step, taken.kept)
            if taken.answer is None:
                self._ground.lose(step, taken.measured)
        self._measuring.clear()

    def _end(self, taken: TakenRound) -> None:
        name = (taken.wanted.number, taken.wanted.kept)
        del self.taken[name]
        self._remember(name, None)

    def _remember(self, name: Name, refusal: PurificationAnswer | None) -> None:
        self._ended[name] = refusal
        if len(self._ended) > ENDED_KEPT:
            self._ended.popitem(last=False)
            self._ground.counters["dropped"] += 1

    # ---- time

    def earliest_ns(self) -> int | None:
        """When the first round without a verdict is given up."""
        if not self.taken:
            return None
        return min((one.lapse_ns for one in self.taken.values() if one.answer is not None), default=None)

    def on_deadline(self, step: Step) -> None:
        """Let go of what no verdict came for."""
        for taken in list(self.taken.values()):
            if taken.answer is not None and taken.lapse_ns <= step.now_ns:
                self._ground.counters["lapsed"] += 1
                self._end(taken)
                self._ground.release(step, taken.kept, "partner_lost")


def _serves(slot: SlotView | None, wanted: PurificationWanted) -> bool:
    """The end is held here, for the tree that the round is meant for."""
    return (
        slot is not None
        and slot.state == "held"
        and (slot.request, slot.tree) == (wanted.request, wanted.tree)
    )


def _agrees(view: LedgerView, wanted: PurificationWanted) -> bool:
    """The own ledger has the two pairs between the same ends, alive, and no verdict of such a round yet."""
    for own, far in ((wanted.kept_far, wanted.kept), (wanted.measured_far, wanted.measured)):
        chain = view.chain(own)
        if chain is None or chain.dead or view.far_end(own) != far:
            return False
    return wanted.rounds > view.judged(wanted.kept, wanted.kept_far)


def _answer(wanted: PurificationWanted, *, accepted: bool) -> PurificationAnswer:
    """Without a bit: a refusal, or an order that failed."""
    return PurificationAnswer(
        number=wanted.number, kept=wanted.kept, accepted=accepted, bit=None, at_ns=None, turned_ns=None
    )
