"""Own halves that are kept back for purification, from birth to their one end.

Owns the kept-back pairs of one link end, their slots, which pairs go into the next round, and the accounts:
every pair that is taken ends exactly once, as handed up, spent (measured in a round), failed (kept in a round
that failed) or given up. Refuses messages: who asks whom is in purification_asking.py and
purification_answering.py.

A kept-back slot is locked from the start, so that no plan, policy or cutoff of the layers above, which know
nothing of the pair, can touch it.
"""

from collections.abc import Iterable, Sequence
from typing import Final

from bellwire.core.bell import Walsh
from bellwire.core.effects import PurifyPair, Report
from bellwire.core.ids import End, RequestId
from bellwire.core.machine import Step
from bellwire.core.notices import SlotFreed
from bellwire.core.purification import PURIFIED_FRAME, SCHEME
from bellwire.link_layer.ground import Ground
from bellwire.link_layer.uses import FreshPair, HandUp, LetGo

LEASE_ANSWERS: Final = 4
"""A round is given up after this many answer times (and the longest device order) without a word."""

REPEAT_SHARE: Final = 4
"""An unanswered word of a round is repeated after answer_ns / this: two memories wait for it."""

COUNTS: Final = ("taken", "handed_up", "spent", "failed", "given_up", "rounds", "passed", "refused")
"""Pairs taken and how they ended; rounds begun, those that passed, and those that side 1 refused."""

Key = tuple[RequestId, int]
"""Request and tree."""


class KeptBack:
    """One own half that waits for its rounds, or is in one."""

    __slots__ = (
        "as_of_ns",
        "busy",
        "end",
        "frame",
        "key",
        "number",
        "oldest_ns",
        "point",
        "rest_until_ns",
        "round",
        "rounds",
        "sigma_ns",
        "slot",
        "state",
        "tell",
        "unwanted",
    )

    def __init__(self, pair: FreshPair) -> None:
        self.end = pair.end
        self.slot = pair.slot
        self.key: Key = (pair.request, pair.tree)
        self.rounds = 0
        self.frame = pair.frame
        self.state = pair.state
        self.as_of_ns = (pair.at_ns, pair.at_ns)  # when the state holds for the half of side 0 and of side 1
        self.oldest_ns = pair.at_ns
        self.sigma_ns = pair.sigma_ns
        self.number = pair.number
        self.point = pair.point
        self.round: int | None = None  # number of the round it is in, None: idle
        self.busy = False  # a device order works on it
        self.rest_until_ns = 0  # refused: not asked for again before
        self.unwanted = False  # to be given up when the device order has ended
        self.tell = False  # the other end is then told

    def joined(self, measured: "KeptBack", rounds: int, state: Walsh, as_of_ns: tuple[int, int]) -> None:
        """The kept pair of a round that passed."""
        self.rounds = rounds
        self.frame = PURIFIED_FRAME
        self.state = state
        self.as_of_ns = as_of_ns
        self.oldest_ns = min(self.oldest_ns, measured.oldest_ns)
        self.sigma_ns = max(self.sigma_ns, measured.sigma_ns)
        self.round = None


def choose(idle: Sequence[KeptBack], *, pumping: bool, in_round: bool) -> tuple[KeptBack, KeptBack] | None:
    """(kept, measured) of the next round of one request and tree, or None: wait for more.

    idle: pairs in no round, in the order in which they were taken. Recurrence: two of equal rounds, those
    with most rounds first. Pumping: the pair with most rounds, and the oldest fresh one; one round at a time.
    """
    if pumping:
        if in_round or not idle:
            return None
        kept = max(idle, key=lambda pair: pair.rounds)  # the first of the best
        fresh = next((pair for pair in idle if pair is not kept and pair.rounds == 0), None)
        return None if fresh is None else (kept, fresh)
    for rounds in sorted({pair.rounds for pair in idle}, reverse=True):
        alike = [pair for pair in idle if pair.rounds == rounds]
        if len(alike) > 1:
            return (alike[0], alike[1])
    return None


class Pool:
    """Kept-back halves of one link end."""

    def __init__(self, ground: Ground, hand_up: HandUp, let_go: LetGo) -> None:
        link, answer_ns = ground.link, ground.timers.answer_ns
        self.link = link
        self.pairs: dict[End, KeptBack] = {}
        self.requests = ground.requests
        # Pairs that can wait side by side: a lane of own memories holds one, a bank what it has.
        self.room = min(
            len(own) if shared else link.lanes for own, shared in zip(link.slots, link.shared, strict=True)
        )
        self._side = ground.side
        self._limit_ns = ground.memory.operation_limit_ns
        self.lease_ns = LEASE_ANSWERS * answer_ns + self._limit_ns
        self.repeat_ns = answer_ns // REPEAT_SHARE
        # Side 0 asks, so side 1 gives a waiting pair up later: what side 0 has given up it is told of.
        self._grace_ns = self.lease_ns if ground.side else 0
        self._age_max_ns = ground.timers.age_max_ns
        self._slots = ground.slots
        self._hand_up = hand_up
        self._let_go = let_go
        self._counters = ground.counters
        ground.begin_counters(*(f"purification_{name}" for name in COUNTS))
        self._tallies: dict[Key, dict[str, int]] = {}

    def count(self, key: Key, name: str) -> None:
        """One more in the accounts of the end and of the request."""
        self._counters[f"purification_{name}"] += 1
        self._tallies.setdefault(key, dict.fromkeys(COUNTS, 0))[name] += 1

    def take(self, pair: FreshPair) -> KeptBack:
        """Keep a fresh pair back."""
        kept = KeptBack(pair)
        self.pairs[pair.end] = kept
        self._slots.lock(pair.slot)
        self.count(kept.key, "taken")
        return kept

    def idle(self, key: Key, now_ns: int) -> list[KeptBack]:
        """Pairs of a request and tree that may go into a round now, the oldest first."""
        return [
            pair
            for pair in self.pairs.values()
            if pair.key == key and pair.round is None and pair.rest_until_ns <= now_ns
        ]

    def in_round(self, key: Key) -> bool:
        """True when a pair of this request and tree is in a round."""
        return any(pair.key == key and pair.round is not None for pair in self.pairs.values())

    # ---- the local half of a round

    def measure(self, step: Step, kept: KeptBack, measured: KeptBack, paulis: tuple[int, int]) -> int:
        """Order the local half of a round; its operation number."""
        kept.busy = measured.busy = True
        operation = step.operation()
        step.order(
            PurifyPair(
                operation=operation,
                kept_slot=kept.slot,
                measured_slot=measured.slot,
                kept_pauli=paulis[0],
                measured_pauli=paulis[1],
                scheme=SCHEME,
                side=self._side,
                within_ns=self._limit_ns,
            )
        )
        return operation

    def measured(self, step: Step, kept: KeptBack, measured: KeptBack) -> bool:
        """The device order ended: the measured slot is empty. False when nobody wants the kept pair."""
        kept.busy = False
        del self.pairs[measured.end]
        self._slots.free(measured.slot)
        step.tell(SlotFreed(slot=measured.slot))
        self._ended(step, measured, "spent")
        if kept.unwanted:
            self.give_up(step, kept, tell=kept.tell)
            return False
        return True

    # ---- the one end of a pair

    def hand_up(self, step: Step, kept: KeptBack) -> None:
        """All rounds have passed: the layers above get the pair.

        Its estimate counts from the own measurement of the last round (each half decays from there at its own
        rate), its age from the herald of its oldest constituent.
        """
        at_ns = kept.as_of_ns[self._side]
        del self.pairs[kept.end]
        self._slots.unlock(kept.slot, at_ns)
        request, tree = kept.key
        self._hand_up(
            step,
            FreshPair(
                kept.end,
                kept.slot,
                request,
                tree,
                kept.frame,
                kept.state,
                at_ns,
                kept.sigma_ns,
                kept.number,
                kept.point,
                kept.oldest_ns,
            ),
        )
        self._ended(step, kept, "handed_up")

    def fail(self, step: Step, kept: KeptBack) -> None:
        """The kept pair of a round that failed: both ends know, and let go."""
        self._release(step, kept, tell=False)
        self._ended(step, kept, "failed")

    def give_up(self, step: Step, pair: KeptBack, *, tell: bool) -> None:
        """Let a pair go, as soon as no device order works on it; `tell`: the other end hears of it."""
        if pair.busy:
            pair.unwanted, pair.tell = True, pair.tell or tell
            return
        self._release(step, pair, tell=tell)
        self._ended(step, pair, "given_up")

    def lose_all(self, step: Step) -> None:
        """The memory forgot its qubits. The other end hears of every pair."""
        pairs = list(self.pairs.values())
        self.pairs.clear()
        for pair in pairs:
            self._slots.lose(pair.slot)
            self._let_go(step, pair.end, tell=True)
            self._ended(step, pair, "given_up")

    def _release(self, step: Step, pair: KeptBack, *, tell: bool) -> None:
        del self.pairs[pair.end]
        self._let_go(step, pair.end, tell=tell)

    def _ended(self, step: Step, pair: KeptBack, how: str) -> None:
        self.count(pair.key, how)
        if pair.key not in self.requests:
            self.close_ended(step)

    def close_ended(self, step: Step) -> None:
        """Tell the accounts of requests that have ended, once their last pairs are gone."""
        left = {pair.key for pair in self.pairs.values()}
        for key in [key for key in self._tallies if key not in self.requests and key not in left]:
            request, tree = key
            fields: dict[str, str | int | float | bool | None] = {
                "link": self.link.link,
                "tree": tree,
                **self._tallies.pop(key),
            }
            step.order(Report(name="link_purification", request=request, fields=fields))

    # ---- time

    def unneeded(self, pairs: Iterable[KeptBack]) -> list[KeptBack]:
        """Those of some pairs that no plan asks to purify any further."""
        found: list[KeptBack] = []
        for pair in pairs:
            plan = self.requests.get(pair.key)
            if plan is None or plan.rounds <= pair.rounds:
                found.append(pair)
        return found

    def expires_ns(self, pair: KeptBack) -> int:
        """When an idle pair is too old to wait any longer: the plan's cutoff, or the compulsory age."""
        plan = self.requests.get(pair.key)
        cutoff_ns = None if plan is None else plan.cutoff_ns
        return pair.oldest_ns + (self._age_max_ns if cutoff_ns is None else cutoff_ns) + self._grace_ns

    def earliest_ns(self) -> int | None:
        """When the first idle pair is too old."""
        return min(
            (self.expires_ns(pair) for pair in self.pairs.values() if pair.round is None), default=None
        )

    def give_up_old(self, step: Step) -> None:
        """Give up idle pairs that are too old."""
        for pair in list(self.pairs.values()):
            if pair.round is None and self.expires_ns(pair) <= step.now_ns:
                self.give_up(step, pair, tell=True)
