"""Three nodes with real ledgers, slots, swapping and purification, and mail and devices that a test plays.

Owns the mail in flight, device orders in flight, restarts, and what must hold after every step. Refuses
link work and delivery: pairs are born when the test says so, and no application takes them.
"""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from bellwire.core.effects import Effect, MeasureBell, Publish, PurifyPair, ReleaseQubit, Send
from bellwire.core.events import (
    BellMeasured,
    Ended,
    Event,
    PairPurified,
    PeerChanged,
    Persisted,
    Received,
    Started,
    TimerFired,
)
from bellwire.core.facts import Born, Fact, Released, Verdict
from bellwire.core.ids import End, LinkId, NodeId
from bellwire.core.machine import Handler, Step
from bellwire.core.messages import Message, PurificationAnswer
from bellwire.core.notices import LinkPairReady, Notice, PlanInstalled, PlanRemoved, SlotFreed, UpdatePair
from bellwire.core.plans import NodePlan
from bellwire.core.settings import NetworkSettings
from bellwire.gem.protocols import Gem
from bellwire.node.routing import NodeMachine
from bellwire.node.slots import SlotTable
from bellwire.swapping.protocols import Swapping
from bellwire.swapping.purification import Purification


class Others:
    """All other parts of a node: hear what is written into the ledger."""

    def __init__(self) -> None:
        self.facts: list[Fact] = []

    def on_events(self) -> Mapping[type, Handler]:
        return {}

    def on_messages(self) -> Mapping[type, Handler]:
        return {}

    def on_notices(self) -> Mapping[type, Handler]:
        return {UpdatePair: self._wrote, SlotFreed: self._freed}

    def gives(self) -> frozenset[type]:
        return frozenset({LinkPairReady, PlanInstalled, PlanRemoved})

    def deadline_ns(self) -> int | None:
        return None

    def on_deadline(self, step: Step) -> None:
        raise AssertionError("no deadline was set")

    def _wrote(self, step: Step, notice: UpdatePair) -> None:
        self.facts.append(notice.fact)

    def _freed(self, step: Step, notice: SlotFreed) -> None:
        pass


class Life:
    """One incarnation of a node."""

    def __init__(self, network: NetworkSettings, node: NodeId, incarnation: int) -> None:
        self.incarnation = incarnation
        self.slots = SlotTable(network, node)
        self.gem = Gem(network, node)
        self.purification = Purification(network, node, self.slots)
        self.others = Others()
        self.taken: dict[Name, End] = {}  # rounds that it took, and its end of the kept pair
        self.refused: set[Name] = set()
        self.known: dict[NodeId, tuple[int, int]] = {}  # incarnation of peers as told, and when
        swapping = Swapping(network, node, self.slots)
        parts = [*self.gem.parts, swapping, self.purification, self.others]
        self.machine = NodeMachine(node, parts, self.gem.flush)


Name = tuple[int, End]
"""A round: number and kept end of its asker."""


class Letter(NamedTuple):
    """A message, or the host's word of a peer, on its way."""

    to: NodeId
    event: Received | PeerChanged


class Order(NamedTuple):
    """A device order in flight."""

    node: NodeId
    order: PurifyPair | MeasureBell
    due_ns: int

    @property
    def slots(self) -> frozenset[int]:
        order = self.order
        if isinstance(order, PurifyPair):
            return frozenset({order.kept_slot, order.measured_slot})
        return frozenset({order.left_slot, order.right_slot})


class World:
    """All nodes of a network, and everything between them."""

    def __init__(self, network: NetworkSettings, plans: Mapping[NodeId, NodePlan]) -> None:
        self.network = network
        self.plans = plans
        self.now_ns = 1
        self.lives: dict[NodeId, Life] = {}
        self.letters: list[Letter] = []
        self.orders: list[Order] = []
        self.verdicts: set[tuple[End, End, int]] = set()
        self.locked_ns: dict[tuple[NodeId, int, int, int], int] = {}
        self.attempts = 0
        for node in plans:
            self.start(node)

    # ---- events

    def start(self, node: NodeId) -> None:
        """The node begins, or begins again: its memory, its orders and all that it knew are gone."""
        self.now_ns += 1  # whatever was born before was born earlier
        before = self.lives.get(node)
        incarnation = 1 if before is None else before.incarnation + 1
        self.orders = [order for order in self.orders if order.node != node]
        self.lives[node] = Life(self.network, node, incarnation)
        self.tell(node, Started(incarnation=incarnation))
        for peer, life in self.lives.items():
            if peer != node:
                self.tell(node, PeerChanged(peer=peer, state="up", incarnation=life.incarnation))
                self.letters.append(Letter(peer, PeerChanged(peer=node, state="up", incarnation=incarnation)))
        self.notice(node, PlanInstalled(plan=self.plans[node]))

    def notice(self, node: NodeId, *notices: Notice) -> None:
        """As other parts of the node would tell it."""
        for one in notices:
            self.lives[node].machine._step.tell(one)
        self.tell(node, Persisted(token=0))

    def tell(self, node: NodeId, event: Event) -> None:
        """One event, and what the node orders then."""
        life = self.lives[node]
        for effect in life.machine.handle(self.now_ns, event):
            self._take(node, life, effect)
        for fact in life.others.facts:
            if isinstance(fact, Verdict):
                name = (fact.end, fact.far, fact.rounds)
                assert name not in self.verdicts, f"a second verdict: {fact}"
                self.verdicts.add(name)
                chain = life.gem.replica.fold.chain(fact.end)
                if fact.passed:
                    assert chain is not None
                    assert not chain.dead, f"{node} lets a dead pair pass: {fact}"
        life.others.facts.clear()
        if isinstance(event, PeerChanged) and event.incarnation is not None:
            before = life.known.get(event.peer, (0, 0))[0]
            if event.incarnation > before:
                life.known[event.peer] = (event.incarnation, self.now_ns)
        self.check(node)

    def _take(self, node: NodeId, life: Life, effect: Effect) -> None:
        match effect:
            case Send():
                self._post(node, life, effect.to, effect.message)
            case Publish():
                for peer in self.lives:
                    if peer != node:
                        self._post(node, life, peer, effect.batch)
            case PurifyPair() | MeasureBell():
                order = Order(node, effect, self.now_ns + effect.within_ns)
                for other in self.orders:
                    assert other.node != node or not other.slots & order.slots, f"{order} beside {other}"
                self.orders.append(order)
            case ReleaseQubit():
                for other in self.orders:
                    assert other.node != node or effect.slot not in other.slots, f"{effect} during {other}"
            case _:
                pass

    def _post(self, node: NodeId, life: Life, to: NodeId, message: Message) -> None:
        if isinstance(message, PurificationAnswer) and not message.accepted:
            life.refused.add((message.number, message.kept))
        received = Received(source=node, incarnation=life.incarnation, message=message)
        self.letters.append(Letter(to, received))

    # ---- what a test plays

    def born(self, link: LinkId, frame: int) -> bool:
        """A link pair at both ends; False when no lane is free at both."""
        settings = self.network.links[link]
        herald = settings.heralds[0]
        for lane in range(settings.lanes):
            slots = [self.lives[node].slots.of_lane(link, lane) for node in settings.nodes]
            if all(slot is not None and slot.state == "free" for slot in slots):
                break
        else:
            return False
        self.attempts += 1
        for side, node in enumerate(settings.nodes):
            book = self.lives[node].slots
            slot = book.of_lane(link, lane)
            memory = self.network.nodes[node].memory
            assert slot is not None
            assert memory is not None
            end = End(link, 1, self.attempts, lane, side)
            book.attempt(slot.index)
            book.hold(slot.index, end, "r", 0, self.now_ns)
            born = Born(
                end=end,
                slot=slot.index,
                generation=slot.generation,
                request="r",
                tree=0,
                frame=frame,
                signs=herald.signs,
                cost=herald.cost,
                rates=memory.rates,
                at_ns=self.now_ns,
                sigma_ns=0,
            )
            ready = LinkPairReady(end=end, slot=slot.index, request="r", tree=0, at_ns=self.now_ns)
            self.notice(node, UpdatePair(fact=born), ready)
        return True

    def drop(self, node: NodeId, index: int) -> None:
        """A cutoff: a held end is given up."""
        life = self.lives[node]
        slot = life.slots.slot(index)
        assert slot.end is not None
        fact = Released(end=slot.end, reason="cutoff", at_ns=self.now_ns)
        life.slots.free(index)
        self.notice(node, UpdatePair(fact=fact), SlotFreed(slot=index))

    def deliver(self, letter: Letter) -> None:
        self.tell(letter.to, letter.event)

    def finish(self, order: Order, ended: Ended, bits: int) -> None:
        """A device order ends. bits: 0..3, of a purification the lower one."""
        self.orders.remove(order)
        done = ended == "done"
        if isinstance(order.order, PurifyPair):
            event: Event = PairPurified(
                operation=order.order.operation,
                ended=ended,
                bit=bits & 1 if done else None,
                at_ns=self.now_ns,
            )
        else:
            event = BellMeasured(
                operation=order.order.operation,
                ended=ended,
                outcome=bits if done else None,
                at_ns=self.now_ns,
            )
        self.tell(order.node, event)

    def wait(self, duration_ns: int) -> None:
        """Time passes: timers fire, and orders that take too long end as unknown."""
        until_ns = self.now_ns + duration_ns
        while True:
            due = [
                (deadline, node)
                for node, life in self.lives.items()
                if (deadline := life.machine.next_deadline_ns) is not None and deadline <= until_ns
            ]
            late = min((order.due_ns for order in self.orders), default=until_ns + 1)
            if due and min(due)[0] <= late:
                deadline, node = min(due)
                self.now_ns = max(self.now_ns, deadline)
                self.tell(node, TimerFired())
            elif late <= until_ns:
                self.now_ns = max(self.now_ns, late)
                self.finish(min(self.orders, key=lambda order: order.due_ns), "unknown", 0)
            else:
                break
        self.now_ns = until_ns
        for node in self.lives:
            self.check(node)

    def settle(self, duration_ns: int, step_ns: int) -> None:
        """Everything in flight arrives, in order, and devices do what they are told."""
        until_ns = self.now_ns + duration_ns
        while self.now_ns < until_ns:
            while self.letters or self.orders:
                while self.letters:
                    self.deliver(self.letters.pop(0))
                if self.orders:
                    self.finish(self.orders[0], "done", 0)
            self.wait(step_ns)

    # ---- what must hold

    def check(self, node: NodeId) -> None:
        """No memory is locked without a round of its own, nor for longer than a lease and a device order."""
        life = self.lives[node]
        asking, answering = life.purification.asking, life.purification.answering
        self._check_answers(node, life)
        for asked in asking.rounds.values():
            told_ns = life.known.get(asked.partner, (0, 0))[1]
            assert asked.answer is not None or asked.asked_ns >= told_ns, f"{node} waits for a former life"
        wanted: dict[int, str] = {}
        for asked in asking.rounds.values():
            for pair in (asked.kept, asked.measured):
                assert pair.slot.index not in wanted, f"{node}: {pair.end} is in two rounds"
                wanted[pair.slot.index] = "asked"
        for taken in answering.taken.values():
            for slot in (taken.kept, taken.measured) if taken.answer is None else (taken.kept,):
                assert slot.index not in wanted, f"{node}: {slot.end} is in two rounds"
                wanted[slot.index] = "taken"
        locked = {slot.index for slot in life.slots.slots() if slot.state == "locked"}
        assert locked == set(wanted), f"{node}: locked {locked}, rounds about {wanted}"
        ground = asking._ground
        longest_ns = ground.lease_ns + ground.limit_ns
        since = {
            (node, life.incarnation, index, life.slots.slot(index).generation): self.now_ns
            for index in locked
        }
        self.locked_ns = {key: at for key, at in self.locked_ns.items() if key[0] != node or key in since}
        for key, at_ns in since.items():
            first_ns = self.locked_ns.setdefault(key, at_ns)
            assert at_ns - first_ns <= longest_ns, f"{node}: slot {key[2]} locked for {at_ns - first_ns} ns"

    def _check_answers(self, node: NodeId, life: Life) -> None:
        """A round is taken for pairs that the own ledger has between the two, never after it was refused,
        and the kept end stays locked until a verdict that this ledger knows."""
        fold = life.gem.replica.fold
        taken = life.purification.answering.taken
        for name, one in taken.items():
            wanted = one.wanted
            if name not in life.taken:
                assert name not in life.refused, f"{node} takes a round that it refused"
                assert fold.far_end(wanted.kept_far) == wanted.kept
                assert fold.far_end(wanted.measured_far) == wanted.measured
                life.taken[name] = wanted.kept_far
            known = life.known.get(one.asker, (0, 0))[0]
            assert one.answer is None or one.incarnation >= known, f"{node} waits for a former life"
        for name in [name for name in life.taken if name not in taken]:
            end = life.taken.pop(name)
            life.refused.add(name)  # over, which is as final
            slot = life.slots.holding(end)
            assert slot is None or fold.judged(name[1], end) > 0, f"{node} uses {end} without a verdict"

    def check_end(self) -> None:
        """After everything has settled nothing is locked, and held ends are both ends of pairs, of which both
        owners know the same.

        Ledgers of others may differ: a node that restarted has forgotten its own former swaps.
        """
        assert not self.locked_ns
        for node, life in self.lives.items():
            fold = life.gem.replica.fold
            for slot in life.slots.slots():
                if slot.end is None:
                    continue
                assert slot.state == "held", slot
                assert fold.complete(slot.end), f"{node} holds {slot.end}, whose pair is gone"
                far, owner = fold.far_end(slot.end), fold.far_owner(slot.end)
                assert far is not None
                assert owner is not None
                there = self.lives[owner].slots.holding(far)
                assert there is not None
                assert there.state == "held", f"{node} holds {slot.end}, and {owner} has {there}"
                other = self.lives[owner].gem.replica.fold
                assert other.far_end(far) == slot.end
                ours, theirs = fold.chain(slot.end), other.chain(far)
                assert ours is not None
                assert theirs is not None
                assert (ours.frame, ours.oldest_ns) == (theirs.frame, theirs.oldest_ns)
                assert fold.rounds(slot.end) == other.rounds(far)
                assert fold.state(slot.end, self.now_ns) == other.state(far, self.now_ns)

    def held(self) -> Iterator[tuple[NodeId, int]]:
        """Nodes and slots that hold an end."""
        for node, life in self.lives.items():
            for slot in life.slots.slots():
                if slot.state == "held":
                    yield node, slot.index
