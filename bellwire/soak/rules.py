"""What must hold after every step of every machine, whatever the order of simultaneous things.

Owns the rules of single steps. Refuses what must hold at the end of a history (histories.py). Attached to a
virtual host as its `watch`; raises `Broken` with the name of the rule at the first step that breaks one.
Knows the World's truth and every fact, so it can compare what machines believe with both.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from bellwire.core.effects import Effect, Publish, ReleaseQubit, Report, Send
from bellwire.core.events import Event, PeerChanged, Received, Started, TimerFired
from bellwire.core.facts import Began, Born, Fact, Released, Swapped
from bellwire.core.ids import End, NodeId, RequestId
from bellwire.core.messages import FactBatch, PlanInstall
from bellwire.gem.fold import Fold
from bellwire.node.machines import QuantumNode
from bellwire.simulator_backend.host import VirtualHost
from bellwire.soak.broken import Broken as Broken
from bellwire.soak.order_rules import OrderRules

STEPS_AT_ONCE_MAX = 20_000
"""Steps of all machines at one moment; more go round in a circle."""

WAKES_NS, WAKES_MAX = 10_000_000, 2_000
"""A node of a small lab is not woken more often within so long; one that is looks for what does not come."""

LEDGER_EVERY = 400
"""Every so many steps the acting node's replica is compared with a fold made anew from its watermarks."""

LEDGER_SELDOM = 2_000
"""The same where thousands of histories are played."""

QUEUES_MAX = {"waiting": 200, "heap": 3_000, "touched": 200, "ends": 1_500, "unread": 20_000}
"""Lengths that the queues of a small lab never reach; they do not grow with time."""


def end_in(place: Any) -> End | None:
    """The end whose qubit a slot of the World holds."""
    end: End | None = None
    if place.pair is not None:
        end = place.pair.ends[place.side]
    elif place.lone is not None:
        end = place.lone.end
    elif place.cluster is not None:
        end = next(member.end for member in place.cluster.members if member.slot is place)
    return end


def far_is_gone(place: Any) -> bool:
    """True when the World has no partner for this qubit any more."""
    if place.cluster is not None:  # a pair of which one qubit was turned, for a graph state
        return len(place.cluster.members) < 2
    return place.pair is None or None in place.pair.slots


class Invariants:
    """The rules, and counts of what happened (an empty history proves nothing)."""

    def __init__(
        self,
        offsets_ns: Mapping[NodeId, int] | None = None,
        *,
        dead_for_ns: int,
        calm_ns: int = 0,
        facts_sent: bool = False,
    ) -> None:
        """`dead_for_ns`: how long a held qubit may outlive the far qubit before its owner knows; counted from
        `calm_ns` on, before which news may be cut off. `facts_sent`: facts come as messages, which may be
        lost with the life of their author, and messages of a life that is over count until the receiver
        knows."""
        self.counts: Counter[str] = Counter()
        self.peaks: Counter[str] = Counter()
        self.fired: set[tuple[str, str, str]] = set()
        self.born_at: dict[tuple[str, int, int], set[End]] = defaultdict(set)  # by link, run and attempt
        self._offsets_ns = offsets_ns or {}
        self._dead_for_ns = dead_for_ns
        self._calm_ns = calm_ns
        self._own_time: Callable[[NodeId, int], int] | None = None  # instead of constant offsets
        self._facts_sent = facts_sent
        self._known_lives: dict[tuple[NodeId, NodeId], int] = {}
        self._taken: dict[tuple[NodeId, NodeId], dict[int, int]] = defaultdict(dict)  # by reader and author
        self._excused_ns: dict[NodeId, int] = {}  # when a node came back from standing still
        self._lives: dict[NodeId, int] = {}
        self._machines: dict[NodeId, Any] = {}
        self._deadlines: dict[NodeId, int | None] = {}
        self._orders = OrderRules()
        self._sent: dict[tuple[int, NodeId, NodeId], tuple[int, Any]] = {}
        self._published: dict[NodeId, list[tuple[int, int, int]]] = defaultdict(list)
        self._facts: dict[NodeId, dict[int, list[Fact]]] = defaultdict(dict)
        # By reader and author, where a reader hears of its routes only.
        self._told: dict[tuple[NodeId, NodeId], dict[int, list[Fact]]] = defaultdict(dict)
        self._seen_until: dict[tuple[NodeId, NodeId], int] = defaultdict(int)
        self._cutoffs_ns: dict[tuple[NodeId, RequestId], int] = {}  # where pairs of a request are swapped
        self._requests: dict[End, RequestId | None] = {}  # for which each end was born
        self._given: set[End] = set()  # ends that users have had
        self._first_held_ns: dict[tuple[NodeId, End], int] = {}
        self._dead_since_ns: dict[tuple[NodeId, End], int] = {}
        self._swapped_at: dict[End, tuple[NodeId, int]] = {}
        self._moment_ns = -1
        self._steps_now = 0
        self._wakes: dict[NodeId, tuple[int, int]] = {}  # since when, and how often
        self._host: VirtualHost | None = None

    def attach(self, host: VirtualHost) -> None:
        """The host whose World is the truth."""
        self._host = host

    def follow_clocks(self, own_time: Callable[[NodeId, int], int]) -> None:
        """own_time: what the clock of a node shows at a true time, instead of constant offsets."""
        self._own_time = own_time

    def rescheduled(self, node: NodeId) -> None:
        """The clock of a node was set: its deadline lies at another true time now."""
        machine = self._machines.get(node)
        self._deadlines[node] = None if machine is None else machine.next_deadline_ns

    def excuse(self, node: NodeId, now_ns: int) -> None:
        """The node has stood still until now: what should have happened meanwhile happens now."""
        self._excused_ns[node] = now_ns

    def __call__(self, now_ns: int, node: NodeId, event: Event, effects: list[Effect]) -> None:
        host = self._host
        assert host is not None
        self.counts["steps"] += 1
        self._moving(now_ns, node, event)
        machine = host.machines[node]
        self._event(now_ns, node, event, machine)
        for effect in effects:
            self._effect(now_ns, node, effect)
        self._handed_over(node, effects)
        self._deadlines[node] = machine.next_deadline_ns
        if isinstance(machine, QuantumNode):
            self._slots(now_ns, node, machine, host)
            if not self._facts_sent:
                self._visible(now_ns, node, machine, host, machine.replica.streams.authors)
            elif isinstance(event, Received) and isinstance(event.message, FactBatch):
                self._visible(now_ns, node, machine, host, (event.source,))
            if self.counts["steps"] % (LEDGER_SELDOM if self._facts_sent else LEDGER_EVERY) == 0:
                self.compare_ledger(node)
        self._queues(machine, host)

    def _moving(self, now_ns: int, node: NodeId, event: Event) -> None:
        if now_ns != self._moment_ns:
            self._moment_ns, self._steps_now = now_ns, 0
        self._steps_now += 1
        if self._steps_now > STEPS_AT_ONCE_MAX:
            raise Broken("time goes on", f"{self._steps_now} steps at {now_ns}, now {node}: {event}")
        if type(event) is TimerFired:
            since_ns, wakes = self._wakes.get(node, (now_ns, 0))
            if now_ns - since_ns > WAKES_NS:
                since_ns, wakes = now_ns, 0
            self._wakes[node] = (since_ns, wakes + 1)
            if wakes >= WAKES_MAX:
                raise Broken("time goes on", f"{node} was woken {wakes} times since {since_ns}, now {now_ns}")

    # ---- what machines are told

    def _event(self, now_ns: int, node: NodeId, event: Event, machine: Any) -> None:
        if isinstance(event, Started):
            self._begin_life(node, event, machine)
        elif isinstance(event, TimerFired):
            deadline_ns = self._deadlines[node]
            self.counts["timers"] += 1
            if deadline_ns is None or deadline_ns > now_ns:
                raise Broken("early timer", f"{node} at {now_ns}, deadline {deadline_ns}")
        elif isinstance(event, Received):
            self._received(now_ns, node, event)
        elif isinstance(event, PeerChanged):
            life = self._known_lives.get((node, event.peer), 0)
            self._known_lives[node, event.peer] = max(life, event.incarnation or 0)
        else:
            self._orders.told(node, event)

    def _begin_life(self, node: NodeId, event: Started, machine: Any) -> None:
        if event.incarnation != self._lives.get(node, 0) + 1:
            raise Broken("incarnation", f"{node}: {event.incarnation} after {self._lives.get(node)}")
        self.counts["restarts"] += event.incarnation > 1
        self.gather_rows(node)
        self._lives[node] = event.incarnation
        self._machines[node] = machine
        self._deadlines[node] = None
        self._orders.begin_life(node)
        self._seen_until = defaultdict(int, {key: n for key, n in self._seen_until.items() if key[0] != node})
        by_node: list[dict[Any, Any]] = [self._first_held_ns, self._dead_since_ns]
        by_node += [self._known_lives, self._taken]
        for table in by_node:
            for key in [key for key in table if key[0] == node]:
                del table[key]

    def _received(self, now_ns: int, node: NodeId, event: Received) -> None:
        self.counts["messages"] += 1
        source = event.source
        current = self._known_lives.get((node, source), 0) if self._facts_sent else self._lives[source]
        if event.incarnation < current:
            raise Broken("old incarnation", f"{node} heard life {event.incarnation} of {source}")
        message = event.message
        sent = self._sent.get((id(message), source, node))
        if sent is None and isinstance(message, FactBatch):  # numbered anew for each reader
            sent = self._sent.get((id(message.facts), source, node))
        if sent is None:
            raise Broken("message from nowhere", f"{node}: {event}")
        assert self._host is not None
        if source != node and now_ns < sent[0] + self._host.network.delay_ns(source, node):
            raise Broken(
                "message too fast", f"{source} to {node} at {now_ns}, sent at {sent[0]}: {event.message}"
            )

    # ---- what machines order

    def _effect(self, now_ns: int, node: NodeId, effect: Effect) -> None:
        if isinstance(effect, Send):
            self._sent.setdefault((id(effect.message), node, effect.to), (now_ns, effect.message))
            if isinstance(effect.message, PlanInstall) and effect.message.plan.swaps:
                cutoff_ns = effect.message.plan.cutoff_ns
                if cutoff_ns is not None:
                    self._cutoffs_ns[effect.to, effect.message.plan.request] = cutoff_ns
        elif isinstance(effect, Publish):
            self._published_facts(now_ns, node, effect)
        else:
            self._orders.ordered(node, effect)

    def _published_facts(self, now_ns: int, node: NodeId, effect: Publish) -> None:
        batch = effect.batch
        for one in effect.audience or ():
            stream = self._told[one.node, node].setdefault(batch.incarnation, [])
            if len(stream) != one.first - 1:
                raise Broken("streams of readers", f"{node} told {one.node} {len(stream)} facts, then {one}")
            stream.extend(batch.facts)
            self._sent.setdefault((id(batch.facts), node, one.node), (now_ns, batch))
        if effect.again:
            return
        last = batch.first + len(batch.facts) - 1
        self._published[node].append((now_ns, batch.incarnation, last))
        own = self._facts[node].setdefault(batch.incarnation, [])
        if len(own) != batch.first - 1:
            raise Broken("own stream", f"{node} has published {len(own)} facts, then number {batch.first}")
        own.extend(batch.facts)
        if self._facts_sent and effect.audience is None:
            assert self._host is not None
            for other in self._host.network.nodes:
                self._sent.setdefault((id(batch), node, other), (now_ns, batch))
        for fact in batch.facts:
            self._fact(now_ns, node, fact)

    def _handed_over(self, node: NodeId, effects: list[Effect]) -> None:
        """A pair that is told as delivered and kept leaves its memory in the same step, under its number."""
        released = {(effect.slot, effect.tag) for effect in effects if isinstance(effect, ReleaseQubit)}
        for effect in effects:
            if isinstance(effect, Report) and effect.name == "pair_delivered":
                told = effect.fields
                if not self._orders.is_written(node, f"{effect.request}|{told['role']}|{told['head_end']}"):
                    raise Broken("written first", f"{node}: {told}")
                kept = effect.request is not None and "/" in effect.request  # until its sequence uses it
                if told["basis"] is None and not kept and (told["slot"], told["number"]) not in released:
                    raise Broken("handed over", f"{node}: {told}")
                self.counts["pairs handed over or measured"] += 1

    def _fact(self, now_ns: int, node: NodeId, fact: Fact) -> None:
        self.counts[type(fact).__name__] += 1
        if isinstance(fact, Born):
            self._requests[fact.end] = fact.request
            self.born_at[fact.end.link, fact.end.run, fact.end.attempt].add(fact.end)
        elif isinstance(fact, Released):
            self.counts[f"Released {fact.reason}"] += 1
            if fact.reason == "delivered":
                self._given.add(fact.end)
        elif isinstance(fact, Swapped):
            self.counts[f"Swapped {fact.result}"] += 1
            for end in (fact.left, fact.right):
                far = end._replace(side=1 - end.side)
                other = self._swapped_at.get(far)
                assert self._host is not None
                if other is not None and now_ns - other[1] <= self._host.network.delay_ns(node, other[0]):
                    self.counts["swaps at both ends at once"] += 1
                self._swapped_at[end] = (node, now_ns)

    # ---- qubits: slots, World, ledger

    def _slots(self, now_ns: int, node: NodeId, machine: QuantumNode, host: VirtualHost) -> None:
        places = host.world._memory(node).slots
        if self._own_time is None:
            local_ns = now_ns + self._offsets_ns.get(node, 0)
        else:
            local_ns = self._own_time(node, now_ns)
        for slot in machine.slots.slots():
            place = places[slot.index]
            present = end_in(place)
            state, end = slot.state, slot.end
            if state == "free":
                if present is not None:
                    raise Broken("slot and World", f"{node}: {slot!r} still holds {present} in the World")
            elif state in ("held", "offered", "locked"):
                assert end is not None
                # The sacrificed qubit of a round is measured; its slot stays locked until the verdict. A
                # fusion that fails takes both its qubits, and nobody knows before it ends.
                spent = (state == "locked" and present is None) and (
                    self._orders.is_empty(node, slot.index) or self._orders.is_fusing(node, slot.index)
                )
                if present != end and not spent:
                    raise Broken("slot and World", f"{node}: {slot!r} holds {present} in the World")
                if spent:
                    continue
                self._held(now_ns, local_ns, node, slot, machine, host)
            elif state == "measuring" and present is not None and present != end:
                raise Broken("slot and World", f"{node}: {slot!r} measures {present} in the World")

    def _held(
        self, now_ns: int, local_ns: int, node: NodeId, slot: Any, machine: QuantumNode, host: VirtualHost
    ) -> None:
        key = (node, slot.end)
        if slot.state == "held":
            first_ns = self._first_held_ns.setdefault(key, local_ns)
            request = self._requests.get(slot.end)
            cutoff_ns = None if request is None else self._cutoffs_ns.get((node, request))
            late = cutoff_ns is not None and local_ns > max(slot.born_ns + cutoff_ns, first_ns)
            if late and self._excused_ns.get(node) != now_ns:
                raise Broken(
                    "cutoff", f"{node}: {slot!r} born at {slot.born_ns}, now {local_ns}, cutoff {cutoff_ns}"
                )
            fold = machine.replica.fold
            chain = fold.chain(slot.end)
            # Of three and more no single far end says whether the state lives on; the ledger must.
            grouped = chain is not None and len(fold.members(slot.end)) > 2
            gone = (
                chain.dead
                if chain is not None and grouped
                else far_is_gone(host.world._memory(node).slots[slot.index])
            )
            if gone and not grouped and fold.far_end(slot.end) in self._given:
                gone = False  # its user has the far half, or its result
            if gone:
                since_ns = self._dead_since_ns.setdefault(key, max(now_ns, self._calm_ns))
                if now_ns - since_ns > self._dead_for_ns:
                    raise Broken("dead pair held", f"{node}: {slot!r} since {since_ns}, now {now_ns}")
        else:  # an offer or a round that comes to nothing gives the qubit back, whatever its age by then
            self._first_held_ns.pop(key, None)
        self._truth(now_ns, node, slot, machine, host)

    def _truth(self, now_ns: int, node: NodeId, slot: Any, machine: QuantumNode, host: VirtualHost) -> None:
        """If the ledger here joins two ends that both exist, they are one physical pair of that frame."""
        fold, end = machine.replica.fold, slot.end
        chain, far = fold.chain(end), fold.far_end(end)
        if chain is None or chain.dead or far is None:
            return
        other = host.machines.get(host.network.owner(far.link, far.side))
        if not isinstance(other, QuantumNode):
            return
        far_slot = other.slots.holding(far)
        if far_slot is None or far_slot.state not in ("held", "offered"):
            return
        if len(other.replica.fold.members(far)) > 2:
            return  # a fusion there has joined it to more; the news are on their way
        if slot.state == "locked" and host.world._memory(node).slots[slot.index].cluster is not None:
            return  # a fusion is under way, and its result known to the World only
        truth = host.world.truth(node, slot.index, now_ns)
        if truth is None or truth.ends != (end, far):
            raise Broken("ledger and World", f"{node}: ledger joins {end} and {far}, the World {truth}")
        self.counts["pairs compared"] += 1
        if slot.state == "offered" and self._corrected_here(node, slot, machine):
            self.counts["corrections compared"] += 1
            if truth.frame != chain.frame:
                raise Broken(
                    "ledger and World", f"{end}: corrected to frame {chain.frame}, true {truth.frame}"
                )
        far_fold = other.replica.fold
        there = far_fold.chain(far)
        if (
            slot.state == far_slot.state == "held"
            and there is not None
            and far_fold.far_end(far) == end
            and there.frame == chain.frame
        ):
            self.counts["frames compared"] += 1
            if truth.frame != chain.frame:
                raise Broken("ledger and World", f"{end}-{far}: frame {chain.frame}, true {truth.frame}")

    def _corrected_here(self, node: NodeId, slot: Any, machine: QuantumNode) -> bool:
        """The tail of a delivery has answered: whatever it had to correct is corrected, and in its ledger."""
        if machine.delivery is None or slot.end not in machine.delivery.tail.table.by_own:
            return False
        return not self._orders.is_turning(node, slot.index)

    # ---- the ledger

    def _visible(
        self, now_ns: int, node: NodeId, machine: QuantumNode, host: VirtualHost, authors: Iterable[NodeId]
    ) -> None:
        for author in authors:
            stream = machine.replica.streams.authors.get(author)
            if stream is None:
                continue
            self._taken[node, author][stream.incarnation] = stream.next - 1
            entries = self._published[author]
            horizon_ns = now_ns - host.network.delay_ns(author, node)
            index = self._seen_until[node, author]
            while index < len(entries) and entries[index][0] <= horizon_ns:
                index += 1
            self._seen_until[node, author] = index
            limit = (0, 0) if index == 0 else entries[index - 1][1:]
            if (stream.incarnation, stream.next - 1) > limit:
                known = (stream.incarnation, stream.next - 1)
                raise Broken(
                    "facts too fast", f"{node} at {now_ns} knows {known} of {author}, visible is {limit}"
                )

    def compare_ledger(self, node: NodeId) -> None:
        """The replica is what its watermarks say, folded anew."""
        host = self._host
        assert host is not None
        machine = host.machines[node]
        assert isinstance(machine, QuantumNode)
        fold = Fold(host.network.owner)
        for author, (incarnation, last) in machine.replica.watermarks().items():
            for life, facts in sorted(self._facts_for(node, author).items()):
                if life > incarnation or (author == node and life < incarnation):
                    continue
                until = last if life == incarnation else None
                if until is None and self._facts_sent:
                    until = self._taken[node, author].get(life, 0)
                for fact in facts[:until]:
                    # Where nodes never crash, logs do not keep what was written before somebody followed.
                    if not isinstance(fact, Began) or author in machine.replica.fold.began:
                        fold.apply(author, life, fact)
        self.counts["ledgers compared"] += 1
        if fold.digest() != machine.replica.fold.digest():
            raise Broken("ledger and watermarks", f"{node}: the replica is not what its watermarks say")

    def _facts_for(self, node: NodeId, author: NodeId) -> dict[int, list[Fact]]:
        """What an author wrote for this node, by incarnation."""
        assert self._host is not None
        if author == node or self._host.network.ledgers == "network" or not self._facts_sent:
            return self._facts[author]
        return self._told[node, author]

    # ---- bounds and rows

    def _queues(self, machine: Any, host: VirtualHost) -> None:
        lengths = {"waiting": len(host._waiting), "heap": len(host.clock._heap)}
        if isinstance(machine, QuantumNode):
            lengths["touched"] = len(machine.replica.touched)
            lengths["ends"] = len(machine.replica.fold.ends)
            reader = host._readers.get(machine.node)
            if reader is not None and not host.lab.scenario.crashes:
                places = reader.places.values()
                lengths["unread"] = max((len(place.queue) for place in places), default=0)
        for name, length in lengths.items():
            if length > self.peaks[name]:
                self.peaks[name] = length
                if length > QUEUES_MAX[name]:
                    raise Broken("queues", f"{machine.node}: {name} is {length} long")

    def gather_rows(self, node: NodeId) -> None:
        """Collect the table rows that the present life of a node has taken."""
        machine = self._machines.get(node)
        if machine is None or not isinstance(machine, QuantumNode) or machine.delivery is None:
            return
        assert machine.requests is not None
        self.fired |= {("head", *row) for row in machine.delivery.head.transitions.fired}
        self.fired |= {("tail", *row) for row in machine.delivery.tail.transitions.fired}
        self.fired |= {("request", *row) for row in machine.requests.transitions.fired}

    def finish(self) -> None:
        """After a history: all rows, and every ledger once more."""
        assert self._host is not None
        for node, machine in self._host.machines.items():
            self.gather_rows(node)
            if isinstance(machine, QuantumNode):
                self.compare_ledger(node)
