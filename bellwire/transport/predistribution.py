"""PreDistribution: pairs made ahead of requests, kept at the two ends of a super-link, given to who asks.

Owns the word between stores, claims, slots and the ledger at one node (stack paper IV-B, IV-C). Refuses the
choice of super-links (planner), and the making of pairs, which is planned and executed as for any request of
the lowest priority.

A pair is in store when both of its halves lie at the ends of its super-link. The head, first node of the
super-link's route, keeps the account and alone gives pairs away, by a Claimed fact; the tail follows what the
ledger says, and waits for its word no longer than a pair may be kept. From then on the pair is one of the
request's own (docs/adr/0023). Memories that a request needs are taken from the store: pairs in store only use
what nobody else wants.
"""

from collections.abc import Mapping
from typing import Final

from bellwire.core.effects import ReleaseQubit
from bellwire.core.events import Started
from bellwire.core.facts import Claimed, Released, ReleaseReason
from bellwire.core.ids import End, LinkId, NodeId, RequestId
from bellwire.core.machine import Handler, Step
from bellwire.core.notices import (
    EndChanged,
    LinkPairReady,
    PlanActive,
    PlanEnded,
    PlanFailed,
    PlanInstalled,
    PlanRemoved,
    PlanRequested,
    ShiftOver,
    SlotFreed,
    UpdatePair,
    ViewReady,
    ViewWanted,
)
from bellwire.core.plans import PRE_DISTRIBUTED, NodePlan, is_pre_distributed
from bellwire.core.settings import NetworkSettings, StoreSettings, SuperLinkSettings
from bellwire.core.view import LedgerView, SlotBook, SlotView
from bellwire.transport.predistribution_claims import Claims
from bellwire.transport.predistribution_store import Store

ENDS: Final = "store:ends"
WISHES: Final = "store:wishes"

CLAIMS_PER_STEP: Final = 4
"""Pairs given away in one step; the rest follow at once in steps of their own. Each costs a few notices."""

VERSIONS_PER_INCARNATION: Final = 1 << 16
"""A plan version is incarnation * this + counter, so that a restarted head outbids its older plans."""

REMOVED_MAX: Final = 1024
"""Requests that have ended here lately, remembered: pairs may still be given to them at the other end."""

LOOKS_DOUBLED_MAX: Final = 10
"""Doublings of the wait between two looks for a far half."""

LOOK_LEAST_NS: Final = 100_000
"""The first of these waits where word needs less time: between nodes at one place it needs none, and
doublings of nothing would have a node look a million times in a second."""

ANSWERS_WAITED: Final = 2
"""The tail keeps a pair this many intervals of `Timers.answer_ns` longer than the head, which may have given
it away in its last moment: words that were lost are there by then."""

ACCOUNT: Final = 0
"""Tree number of slots in store: their label names no plan."""


class PreDistribution:
    """Part of every node with a memory, where the network has stores."""

    def __init__(
        self, network: NetworkSettings, stores: StoreSettings, node: NodeId, slots: SlotBook
    ) -> None:
        self.node = node
        self._network = network
        self.stores: dict[RequestId, Store] = {
            link.request: Store(network, stores, link, self._next_version)
            for link in stores.super_links
            if link.route[0] == node
        }
        self.claims = Claims(node, stores.pause_ns)
        self.counters: dict[str, int] = dict.fromkeys(("stored", "claimed", "let_go", "made_room"), 0)
        self._tails: dict[RequestId, NodeId] = {link.request: link.route[-1] for link in stores.super_links}
        self._heads: dict[RequestId, NodeId] = {link.request: link.route[0] for link in stores.super_links}
        self._kept_ns = {link.request: self._longest_ns(link) for link in stores.super_links}
        self._slots = slots
        self._version = 0
        # Own halves of pairs in store -> when the tail lets them go; None at the head, whose store knows.
        self._stored: dict[End, int | None] = {}
        self._looks: dict[End, None] = {}
        self._later: dict[End, int] = {}  # when word of the far half should be here
        self._looked: dict[End, int] = {}  # how often the ledger was asked for a far half, less one
        self._serve_ns: int | None = None  # claims are left over from an earlier step
        self._removed: dict[RequestId, None] = {}  # requests whose plan has ended here, the oldest first

    def on_events(self) -> Mapping[type, Handler]:
        return {Started: self._on_started}

    def on_messages(self) -> Mapping[type, Handler]:
        return {}

    def on_notices(self) -> Mapping[type, Handler]:
        return {
            LinkPairReady: self._on_pair_ready,
            EndChanged: self._on_end_changed,
            ViewReady: self._on_view,
            UpdatePair: self._on_update,
            PlanInstalled: self._on_plan_installed,
            PlanRemoved: self._on_plan_removed,
            PlanActive: self._on_plan_active,
            PlanFailed: self._on_plan_failed,
        }

    def gives(self) -> frozenset[type]:
        own = frozenset((UpdatePair, SlotFreed, ViewWanted, LinkPairReady, EndChanged, ShiftOver))
        return own | frozenset((PlanRequested, PlanEnded)) if self.stores else own

    def deadline_ns(self) -> int | None:
        deadlines = [store.deadline_ns() for store in self.stores.values()]
        deadlines += (
            self.claims.deadline_ns(),
            self._serve_ns,
            *self._later.values(),
            *self._stored.values(),
        )
        known = [each for each in deadlines if each is not None]
        return min(known, default=None)

    def on_deadline(self, step: Step) -> None:
        for store in self.stores.values():
            for end in store.overdue(step.now_ns):
                self._let_go(step, end, "cutoff")
                self.counters["let_go"] += 1
                store.aged += 1
            store.on_deadline(step)
        for end in [end for end, at_ns in self._stored.items() if at_ns is not None and at_ns <= step.now_ns]:
            self._stored[end] = None  # a slot that is busy is not looked at again and again
            self._let_go(step, end, "cutoff")
            self.counters["let_go"] += 1
        if self.claims.is_due(step.now_ns):
            step.tell(ViewWanted(purpose=WISHES, request=None))
        for end in [end for end, at_ns in self._later.items() if at_ns <= step.now_ns]:
            del self._later[end]
            self._look(step, end)
        if self._serve_ns is not None and self._serve_ns <= step.now_ns:
            self._serve(step)

    def _longest_ns(self, link: SuperLinkSettings) -> int:
        """How long the tail keeps a half of this super-link's store."""
        age_ns = self._network.timers.age_max_ns if link.age_max_ns is None else link.age_max_ns
        answers_ns = ANSWERS_WAITED * self._network.timers.answer_ns
        return age_ns + answers_ns + 2 * self._network.delay_ns(link.route[0], link.route[-1])

    # ---- own ends

    def _on_started(self, step: Step, event: Started) -> None:
        self._version = event.incarnation * VERSIONS_PER_INCARNATION
        for store in self.stores.values():
            store.look(step)

    def _next_version(self) -> int:
        self._version += 1
        return self._version

    def _on_pair_ready(self, step: Step, notice: LinkPairReady) -> None:
        if notice.request in self._heads:
            self._look(step, notice.end)

    def _on_end_changed(self, step: Step, notice: EndChanged) -> None:
        slot = self._slots.holding(notice.end)
        if slot is not None and slot.state == "held" and self._is_ours(slot):
            self._look(step, notice.end)

    def _is_ours(self, slot: SlotView) -> bool:
        """The slot holds an end that is in store or on its way there; links may keep pairs of their own."""
        return slot.end in self._stored or slot.request in self._heads

    def _is_at_an_end_of(self, made_for: RequestId | None) -> bool:
        """Pairs made for this store are not swapped here any more: this is where they are to be kept."""
        return made_for in self._heads and self.node in (self._heads[made_for], self._tails[made_for])

    def _look(self, step: Step, end: End) -> None:
        if not self._looks:
            step.tell(ViewWanted(purpose=ENDS, request=None))
        self._looks[end] = None

    def _on_view(self, step: Step, notice: ViewReady) -> None:
        if notice.purpose == ENDS:
            looks, self._looks = self._looks, {}
            for end in looks:
                slot = self._slots.holding(end)
                if slot is not None and slot.state == "held" and self._is_ours(slot):
                    self._see(step, notice.view, slot, end)
            self._serve(step)
        elif notice.purpose == WISHES and self.claims.look(notice.view, step.now_ns):
            self._serve(step)

    def _see(self, step: Step, view: LedgerView, slot: SlotView, end: End) -> None:
        """A pair on its way into store, or in it: has it arrived, or was it given away?"""
        chain = view.chain(end)
        made_for = slot.request
        if chain is None or chain.dead or made_for is None:
            return
        if chain.request in self._removed:
            self._let_go(step, end, "withdrawn")  # the other end gave it to a request that is over by now
            return
        if chain.request is not None and not is_pre_distributed(chain.request):
            self._hand_over(step, slot, end, chain.request, chain.tree)
            return
        head, tail = self._heads.get(made_for), self._tails.get(made_for)
        if self.node not in (head, tail) or view.far_owner(end) != (tail if self.node == head else head):
            return
        store = self.stores.get(made_for)
        if store is not None and not view.complete(end):
            # Its word may be lost, or its owner dead: then the ledger is asked again at growing intervals.
            looks = self._looked[end] = self._looked.get(end, -1) + 1
            wait_ns = max(LOOK_LEAST_NS, self._network.delay_ns(store.tail, self.node) + 1)
            self._later[end] = step.now_ns + (wait_ns << min(looks, LOOKS_DOUBLED_MAX))
            return
        if store is not None and not store.wants():
            self._let_go(step, end, "withdrawn")
            return
        self._looked.pop(end, None)
        self._slots.bind(slot.index, PRE_DISTRIBUTED, ACCOUNT)
        self._stored[end] = None if store is not None else slot.born_ns + self._kept_ns[made_for]
        if store is not None:
            self.counters["stored"] += 1
            store.keep(step, view, end)

    def _hand_over(self, step: Step, slot: SlotView, end: End, request: RequestId, tree: int) -> None:
        """The pair is one of a request's own from now on: whoever executes its plan takes it like a new one,
        and reads in the ledger how far it reaches."""
        self._stored.pop(end, None)
        self._slots.bind(slot.index, request, tree)
        step.tell(LinkPairReady(end=end, slot=slot.index, request=request, tree=tree, at_ns=step.now_ns))
        step.tell(EndChanged(end=end))

    def _on_update(self, step: Step, notice: UpdatePair) -> None:
        fact = notice.fact
        if isinstance(fact, Released):
            self._stored.pop(fact.end, None)
            self._later.pop(fact.end, None)
            self._looked.pop(fact.end, None)
            for store in self.stores.values():
                store.gone(step, fact.end)
        if self.claims.happened(fact, step.now_ns):
            self._serve(step)

    def _let_go(self, step: Step, end: End, reason: ReleaseReason) -> None:
        """End an own half; its far owner learns it from the ledger."""
        slot = self._slots.holding(end)
        if slot is None or slot.state != "held":
            return
        step.tell(UpdatePair(fact=Released(end=end, reason=reason, at_ns=step.now_ns)))
        step.order(ReleaseQubit(slot=slot.index, tag=0))
        self._slots.free(slot.index)
        step.tell(SlotFreed(slot=slot.index))

    # ---- requests

    def _on_plan_installed(self, step: Step, notice: PlanInstalled) -> None:
        plan = notice.plan
        if is_pre_distributed(plan.request):
            return
        self._removed.pop(plan.request, None)
        self.claims.installed(plan)
        self._serve(step)
        if not plan.gathers:
            self._make_room(step, plan)

    def _on_plan_removed(self, step: Step, notice: PlanRemoved) -> None:
        self.claims.removed(notice.request)
        if not is_pre_distributed(notice.request):
            self._removed[notice.request] = None
            if len(self._removed) > REMOVED_MAX:
                del self._removed[next(iter(self._removed))]

    def _serve(self, step: Step) -> None:
        """Give pairs to the plans that wish for them."""
        self._serve_ns = None
        given = 0
        for store in self.stores.values():
            while (wish := self.claims.open(store.tail)) is not None and (end := store.best()) is not None:
                if given >= CLAIMS_PER_STEP:
                    self._serve_ns = step.now_ns
                    return
                given += 1
                slot = self._slots.holding(end)
                if slot is None:  # a memory has forgotten several at once, and tells this one's release next
                    self._stored.pop(end, None)
                    store.gone(step, end)
                    continue
                wish.state, wish.end = "claimed", end
                self.counters["claimed"] += 1
                claimed = Claimed(end=end, request=wish.request, tree=wish.tree, at_ns=step.now_ns)
                step.tell(UpdatePair(fact=claimed))
                self._hand_over(step, slot, end, wish.request, wish.tree)
                store.gone(step, end)

    def _make_room(self, step: Step, plan: NodePlan) -> None:
        """Where a plan finds no memory for one of its links, pairs on their way into store give theirs up,
        then pairs in store."""
        wanted: dict[tuple[int, ...], list[LinkId]] = {}
        for part in plan.links:
            slots = self._slots.of_link(part.link)
            wanted.setdefault(tuple(slot.index for slot in slots), []).append(part.link)
        for places, links in wanted.items():
            bank = [self._slots.slot(index) for index in places]
            own = sum(slot.request == plan.request and slot.end is not None for slot in bank)
            useful = own + sum(slot.state in ("free", "attempting") for slot in bank)
            spare = [slot for slot in bank if slot.state == "held" and self._is_ours(slot)]
            spare.sort(key=lambda slot: (slot.request == PRE_DISTRIBUTED, slot.born_ns))
            for slot in spare[: max(0, len(set(links)) - useful)]:
                assert slot.end is not None  # it is held
                self.counters["made_room"] += 1
                if slot.end in self._stored or self._is_at_an_end_of(slot.request):
                    self._let_go(step, slot.end, "withdrawn")
                else:
                    step.tell(ShiftOver(end=slot.end))  # whoever would swap it gives it up

    def _on_plan_active(self, step: Step, notice: PlanActive) -> None:
        store = self.stores.get(notice.plan.request)
        if store is not None:
            store.plan_active()

    def _on_plan_failed(self, step: Step, notice: PlanFailed) -> None:
        store = self.stores.get(notice.request)
        if store is not None:
            store.plan_failed(step, notice.version, notice.reason)
