"""The link service at one end of a link: CREATE in, ACK, OK, ERR and EXPIRE out (algorithms.md 10.1, 10.2).

Owns the turns of CREATEs and their ends. A CREATE that both ends have becomes a request of the link like any
planned one, so windows, schedulers and bindings need not know of it. In each priority class the counts are
served one after the other, in the order of their numbers, each until it is done; rates run beside them. Every
CREATE ends exactly once, with LinkDone or LinkErr, at both ends. Refuses places and deadlines (queue.py),
feasibility (feasibility.py) and pairs (create_pairs.py).
"""

from collections.abc import Callable, Mapping
from typing import Any

from bellwire.core.effects import AnswerLink
from bellwire.core.ids import End, LinkId, RequestId
from bellwire.core.link_words import LinkAck, LinkAnswer, LinkCreate, LinkDone, LinkErr
from bellwire.core.machine import Step
from bellwire.core.notices import LinkRequested, LinkWithdrawn
from bellwire.core.plans import LinkPlan
from bellwire.link_layer.births import Births
from bellwire.link_layer.create_pairs import CreatePairs
from bellwire.link_layer.estimation.unit import FidelityEstimation
from bellwire.link_layer.feasibility import (
    Refusal,
    fault_of_create,
    refused_purpose,
    slots_for_creates,
    unsupported,
)
from bellwire.link_layer.ground import Ground
from bellwire.link_layer.lanes import Lanes
from bellwire.link_layer.queue import Ending, Item, SharedQueue
from bellwire.link_layer.served_pairs import Serving
from bellwire.link_layer.uses import FreshPair, LinkHandler


def refuse(step: Step, link: LinkId | None, create: int, refusal: Refusal) -> None:
    """Answer a CREATE of this node at once with ERR."""
    answer = LinkErr(
        link=link, origin=step.node, create=create, code=refusal.code, where="local", reason=refusal.reason
    )
    step.order(AnswerLink(answer=answer))


class Creates:
    """A PairUse: the CREATEs of both ends, as one end of their link serves them."""

    def __init__(
        self,
        ground: Ground,
        purposes: tuple[int, ...] | None,
        lanes: Lanes,
        births: Births,
        estimation: FidelityEstimation,
    ) -> None:
        """`purposes`: of CREATEs that this node takes part in, None: all."""
        self._link = ground.link
        self._side = ground.side
        self._peer = ground.peer
        self._purposes = purposes
        self._delay_ns = ground.delay_ns
        self._requests = ground.requests
        self._estimation = estimation
        self._counters = ground.counters
        self._servings: dict[RequestId, Serving] = {}
        self.queue = SharedQueue(ground, self)
        self.pairs = CreatePairs(
            ground, lanes, births, self._servings, self._finish, estimation.estimated_at_ns
        )
        self._events = {kind: self._noting(handler) for kind, handler in self.pairs.on_events().items()}
        self._moved = False  # what deadlines depend on may have changed
        self._deadline_ns: int | None = None

    def on_messages(self) -> Mapping[type, LinkHandler]:
        table = {**self.queue.on_messages(), **self.pairs.counting.on_messages()}
        return {kind: self._noting(handler) for kind, handler in table.items()}

    def on_events(self) -> Mapping[type, Callable[[Step, Any], None]]:
        return self._events

    def _noting(self, handler: Callable[..., None]) -> Callable[..., None]:
        """The handler, and deadlines are looked at again afterwards."""

        def noted(*words: Any) -> None:
            self._moved = True
            handler(*words)

        return noted

    # ---- users

    def submit(self, step: Step, asked: LinkCreate) -> None:
        """A CREATE of this node's user, whose partner is the other end."""
        self._moved = True
        refusal = self.refusal(asked)
        if refusal is None:
            full = self.queue.full(step.node)
            refusal = None if full is None else Refusal("NORES", full)
        if refusal is None:
            self.queue.submit(step, asked)
        else:
            self._counters["creates_refused"] += 1
            refuse(step, self._link.link, asked.create, refusal)

    def refusal(self, asked: LinkCreate) -> Refusal | None:
        """Why this end takes no part in a CREATE, whoever asks, beside a full queue; None when it does."""
        fault = fault_of_create(asked)
        if fault is not None:
            return Refusal("CREATE", fault)
        rules = refused_purpose(asked, self._purposes)
        if rules is not None:
            return Refusal("REJECTED", rules)
        lack = unsupported(
            asked,
            self._link,
            fidelity=self._estimation.best_fidelity(),
            delay_ns=self._delay_ns,
            slots=slots_for_creates(self._link, self._requests.values()),
        )
        return None if lack is None else Refusal("UNSUPP", lack)

    def cancel(self, step: Step, create: int) -> bool:
        """The user withdraws a CREATE; False when this end has none of that id."""
        for item in self.queue.items.values():
            if item.here and item.asked.create == create:
                self._moved = True
                self.queue.end(step, item, "cancelled", Ending("OTHER", "local", "withdrawn by its user"))
                return True
        return False

    def release(self, step: Step, end: End) -> bool:
        """The user needs a told qubit no more; False when it holds none of that name."""
        self._moved = True
        return self.pairs.release(step, end)

    # ---- turns

    def placed(self, step: Step, item: Item) -> None:
        """Both ends have the item: attempts may serve it, at side 0 when its turn comes."""
        assert item.number is not None
        serving = self._servings[item.name] = Serving(item)
        if item.here and not item.acknowledged:
            item.acknowledged = True
            ack = LinkAck(
                link=self._link.link, create=item.asked.create, queue=item.asked.priority, number=item.number
            )
            step.order(AnswerLink(answer=ack))
        if self._side == 0:
            self._serve_next(step)
        else:
            self._serve(step, serving)

    def _serve_next(self, step: Step) -> None:
        """Rates at once, and of each class the count with the lowest number when none is being served."""
        waiting = sorted(
            (serving for serving in self._servings.values() if not serving.live),
            key=lambda serving: serving.item.number or 0,
        )
        for serving in waiting:
            asked = serving.item.asked
            if asked.count is None or not self._busy(asked.priority):
                self._serve(step, serving)

    def _busy(self, queue: int) -> bool:
        """True when a count of this class is being served."""
        return any(
            serving.live and serving.item.asked.count is not None and serving.item.asked.priority == queue
            for serving in self._servings.values()
        )

    def _serve(self, step: Step, serving: Serving) -> None:
        serving.live = True
        serving.live_ns = step.now_ns
        asked = serving.item.asked
        plan = LinkPlan(
            request=serving.item.name,
            tree=0,
            link=self._link.link,
            partner=self._peer,
            rate_hz=0.0 if asked.rate_hz is None else asked.rate_hz,
            lanes=0,
            weight=asked.weight,
            fidelity_min=asked.fidelity_min,
            priority=asked.priority,
        )
        step.tell(LinkRequested(plan=plan))

    def _stop(self, step: Step, name: RequestId) -> None:
        """The next one comes first, or a moment without any request would end the run."""
        self._servings.pop(name, None)
        if self._side == 0:
            self._serve_next(step)
        step.tell(LinkWithdrawn(request=name, link=self._link.link))

    def displaced(self, step: Step, item: Item) -> None:
        """The other end forgot the item: nobody attempts for it until both have it again."""
        self._stop(step, item.name)

    def _finish(self, step: Step, item: Item) -> None:
        """Both ends have the whole number."""
        serving = self._servings[item.name]
        if serving.batched:
            self.pairs.tell_batch(step, serving)
        self.queue.end(step, item, "done", Ending(None, "local", ""))

    def ended(self, step: Step, item: Item, ending: Ending) -> None:
        """The item is gone: tell what is to be told, let go of the rest."""
        serving = self._servings.get(item.name) or Serving(item)
        if ending.code is None and serving.batched:
            self.pairs.tell_batch(step, serving)
        self.pairs.withdraw(step, item)
        self._stop(step, item.name)
        link, origin, create = self._link.link, item.origin, item.asked.create
        answer: LinkAnswer
        if ending.code is None:
            # One that side 0 has replaced may have been told here, and the word of its void be on its way.
            asked = item.asked.count
            pairs = serving.told if asked is None else min(serving.told, asked)
            answer = LinkDone(link=link, origin=origin, create=create, pairs=pairs)
        else:
            answer = LinkErr(
                link=link,
                origin=origin,
                create=create,
                code=ending.code,
                where=ending.where,
                reason=ending.reason,
            )
        step.order(AnswerLink(answer=answer))

    def satisfied(self, item: Item) -> bool:
        """At the deadline: a rate has done its time. A count needs all its pairs; side 1, which has had no
        word of the end from side 0, can only tell that it has all of them itself."""
        serving = self._servings.get(item.name)
        if item.asked.count is None:
            return True
        if serving is None:
            return False
        return serving.complete() if self._side == 0 else serving.told >= item.asked.count

    def told(self, item: Item) -> int:
        """Pairs of the item that were ever told at this end."""
        serving = self._servings.get(item.name)
        return 0 if serving is None else serving.ever_told

    def together(self, request: RequestId, tree: int) -> int:
        """Pairs that the link must make for a request in one go: what an atomic CREATE lacks, else 1."""
        serving = self._servings.get(request)
        if serving is None or not serving.item.asked.atomic or serving.item.asked.count is None:
            return 1
        return max(1, serving.item.asked.count - serving.counted)

    def room(self, request: RequestId, now_ns: int) -> int | None:
        """Pairs that a CREATE still takes; None: not a CREATE, which takes any number."""
        serving = self._servings.get(request)
        return None if serving is None else serving.room(now_ns)

    # ---- fresh pairs

    def wants(self, pair: FreshPair) -> bool:
        return pair.request in self._servings

    def take(self, step: Step, pair: FreshPair) -> None:
        self._moved = True
        self.pairs.take(step, pair)

    def void(self, step: Step, end: End) -> bool:
        self._moved = True
        return self.pairs.void(step, end)

    def lost(self, step: Step) -> None:
        self._moved = True
        self.pairs.lost(step)

    def peer_restarted(self, step: Step) -> None:
        self._moved = True
        self.pairs.peer_restarted(step)
        self.queue.peer_restarted(step)

    # ---- time

    def deadline_ns(self) -> int | None:
        if self._moved:
            self._moved = False
            deadlines = (self.queue.deadline_ns(), self.pairs.deadline_ns())
            self._deadline_ns = min((each for each in deadlines if each is not None), default=None)
        return self._deadline_ns

    def on_deadline(self, step: Step) -> None:
        self._moved = True
        self.queue.on_deadline(step)
        self.pairs.on_deadline(step)
