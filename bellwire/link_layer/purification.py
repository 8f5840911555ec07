"""Link purification: pairs of plans that ask for rounds are kept back until they have passed them.

Owns the use of pairs (uses.py) at one end of one link (stack paper IV-F, PurificationProtocol of appendix E).
Refuses the protocol's two sides (purification_asking.py, purification_answering.py), the accounts of pairs
(purification_pool.py) and the maths (core/purification.py).

One round: side 0 chooses a kept and a measured pair and sends PurifyWanted; side 1, holding both halves,
measures and answers with its bit; side 0 measures and sends PurifyVerdict until it is heard. Nothing is a
fact before a pair is handed up: the ledger then gets its state as of each end's last measurement, and its age
from the oldest constituent.
"""

from collections.abc import Callable, Mapping
from typing import Any

from bellwire.core.events import PairPurified
from bellwire.core.ids import End, NodeId
from bellwire.core.machine import Step
from bellwire.link_layer.ground import Ground
from bellwire.link_layer.purification_answering import Answering
from bellwire.link_layer.purification_asking import Asking
from bellwire.link_layer.purification_pool import KeptBack, Key, Pool
from bellwire.link_layer.uses import FreshPair, HandUp, LetGo, LinkHandler


class LinkPurification:
    """The use of pairs for purification at one end."""

    def __init__(self, ground: Ground, hand_up: HandUp, let_go: LetGo) -> None:
        counters = ground.counters
        self.pool = Pool(ground, hand_up, let_go)
        self._requests = ground.requests
        self._asking = Asking(self.pool, ground.memories, counters) if ground.side == 0 else None
        self._answering = (
            Answering(self.pool, let_go, ground.timers.answer_ns, counters) if self._asking is None else None
        )
        self._deadline_ns: int | None = None

    @property
    def _side(self) -> Asking | Answering:
        side = self._asking or self._answering
        assert side is not None
        return side

    # ---- the contract of uses

    def wants(self, pair: FreshPair) -> bool:
        """Pairs of requests whose plan asks for rounds."""
        plan = self._requests.get((pair.request, pair.tree))
        return plan is not None and plan.rounds > 0

    def take(self, step: Step, pair: FreshPair) -> None:
        """Keep a pair back."""
        kept = self.pool.take(pair)
        self._look(step, kept.key)

    def void(self, step: Step, end: End) -> bool:
        """The other end has no half of this pair."""
        pair = self.pool.pairs.get(end)
        if pair is None:
            return False
        self._give_up(step, pair, tell=False)
        self._look(step, pair.key)
        return True

    def on_messages(self) -> Mapping[type, LinkHandler]:
        return {kind: self._settling(handler) for kind, handler in self._side.on_messages().items()}

    def on_events(self) -> Mapping[type, Callable[[Step, Any], None]]:
        return {PairPurified: self._purified}

    def lost(self, step: Step) -> None:
        """The memory forgot its qubits."""
        self._side.forget()
        self._side.forget_orders()
        self.pool.lose_all(step)
        self._settle()

    def peer_restarted(self, step: Step) -> None:
        """The other end's halves of our pairs are gone."""
        self._side.forget()
        for pair in list(self.pool.pairs.values()):
            self.pool.give_up(step, pair, tell=False)
        self._settle()

    def demand_changed(self, step: Step) -> None:
        """A plan came, changed or went: pairs that nobody wants purified are let go at both ends."""
        self.pool.close_ended(step)
        if not self.pool.pairs:
            return
        keys = {pair.key for pair in self.pool.pairs.values()}
        for pair in self.pool.unneeded(list(self.pool.pairs.values())):
            if pair.end in self.pool.pairs:
                self._give_up(step, pair, tell=True)
        for key in sorted(keys):
            self._look(step, key)

    # ---- time

    def deadline_ns(self) -> int | None:
        """Repetitions, leases, wishes and the age of waiting pairs; None while nothing is kept back."""
        return self._deadline_ns

    def on_deadline(self, step: Step) -> None:
        """Do what is due."""
        self._side.on_deadline(step)
        self.pool.give_up_old(step)
        self._settle()

    # ---- inside

    def _purified(self, step: Step, event: PairPurified) -> None:
        self._side.purified(step, event)
        self._settle()

    def _give_up(self, step: Step, pair: KeptBack, *, tell: bool) -> None:
        self._side.leave(step, pair)
        self.pool.give_up(step, pair, tell=tell)

    def _look(self, step: Step, key: Key) -> None:
        if self._asking is not None:
            self._asking.look(step, key)
        elif self._answering is not None:
            self._answering.look(step)
        self._settle()

    def _settling(self, handler: LinkHandler) -> LinkHandler:
        def handle(step: Step, source: NodeId, message: Any) -> None:
            handler(step, source, message)
            self._settle()

        return handle

    def _settle(self) -> None:
        """The deadline is asked for in every step of the node, and moves only here."""
        side, age = self._side.earliest_ns(), self.pool.earliest_ns()
        self._deadline_ns = age if side is None else side if age is None else min(side, age)
