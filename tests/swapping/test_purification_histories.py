"""Rounds of purification under every order of events that hypothesis finds: words lost, repeated and out of
order, orders that fail, restarts of either side, deaths, changed plans.

After every step: no memory is locked without a round of its own, nor for longer than a lease and a device
order; no round has two verdicts, and none passes on a pair that its author knows to be dead; a round that was
refused is not taken later, nor one on pairs that the own ledger does not have; a kept end is free only after
its verdict; nobody waits for a former life of a peer; no qubit is in two device orders at once, hence in none
of a swap and a round; an end ends once (the ledger refuses a second time). At the end both owners of a pair
hold it and know the same of it, or neither holds it.
"""

from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from bellwire.core.events import PeerChanged
from bellwire.core.notices import PlanInstalled, PlanRemoved
from bellwire.core.plans import NodePlan, RequestPlan
from bellwire.planner.plans import compute_plan
from tests.node.networks import MS
from tests.planner.test_chosen_rounds import asked, network
from tests.swapping.purification_world import World

NETWORK = network(lanes=4)


def plans(words: str | None, mode: str, **changes: Any) -> dict[str, NodePlan]:
    found = compute_plan(NETWORK, asked(changes.pop("fidelity", None), words, generation_mode=mode), 1)
    assert isinstance(found, RequestPlan), found
    return dict(found.nodes)


KINDS = {
    "links": plans("1:1", "fixed_tree"),
    "both levels": plans("1:1,2:1", "fixed_tree"),
    "pumping": plans("1:2p,2:1", "fixed_tree"),
    "ends": plans("2:2", "fixed_tree"),
    "adaptive": plans("adaptive", "longest_hop", fidelity=0.9),
}
WITHOUT = plans(None, "fixed_tree")
WAITS_NS = (10_000, MS, 60 * MS, 250 * MS, 900 * MS)


class Histories(RuleBasedStateMachine):
    """One history."""

    world: World

    @initialize(kind=st.sampled_from(sorted(KINDS)))
    def begin(self, kind: str) -> None:
        self.plans = KINDS[kind]
        self.world = World(NETWORK, self.plans)
        self.letters_arrive(100)
        for link in ("a-r", "r-b"):
            self.pairs_are_born(link, 0, 2)

    @rule(link=st.sampled_from(["a-r", "r-b"]), frame=st.integers(0, 3), count=st.integers(1, 3))
    def pairs_are_born(self, link: str, frame: int, count: int) -> None:
        for _ in range(count):
            self.world.born(link, frame)

    @precondition(lambda self: self.world.letters)
    @rule(count=st.integers(1, 100))
    def letters_arrive(self, count: int) -> None:
        for _ in range(min(count, len(self.world.letters))):
            self.world.deliver(self.world.letters.pop(0))

    @precondition(lambda self: self.world.letters)
    @rule(place=st.integers(0, 1000), again=st.booleans())
    def a_letter_overtakes_others_and_may_come_twice(self, place: int, again: bool) -> None:
        letters = self.world.letters
        letter = letters[place % len(letters)]
        if not again:
            letters.remove(letter)
        self.world.deliver(letter)

    @precondition(lambda self: self.world.letters)
    @rule(place=st.integers(0, 1000))
    def a_letter_is_lost(self, place: int) -> None:
        letters = self.world.letters
        letter = letters[place % len(letters)]
        if not isinstance(letter.event, PeerChanged):  # that is the host's own word
            letters.remove(letter)

    @precondition(lambda self: self.world.orders)
    @rule(
        place=st.integers(0, 1000),
        ended=st.sampled_from(["done", "done", "done", "done", "failed", "unknown"]),
        bits=st.integers(0, 3),
    )
    def an_order_ends(self, place: int, ended: Any, bits: int) -> None:
        orders = self.world.orders
        self.world.finish(orders[place % len(orders)], ended, bits)

    @rule(duration_ns=st.sampled_from(WAITS_NS))
    def time_passes(self, duration_ns: int) -> None:
        self.world.wait(duration_ns)

    @precondition(lambda self: self.world.locked_ns)
    @rule(node=st.sampled_from(["a", "r", "b"]))
    def a_node_restarts_during_a_round(self, node: str) -> None:
        self.world.start(node)

    @precondition(lambda self: self.world.locked_ns)
    @rule(place=st.integers(0, 1000))
    def a_held_end_is_given_up(self, place: int) -> None:
        held = list(self.world.held())
        if held:
            self.world.drop(*held[place % len(held)])

    @precondition(lambda self: self.world.locked_ns)
    @rule(node=st.sampled_from(["a", "r", "b"]), change=st.sampled_from(["without rounds", "with", "gone"]))
    def a_plan_changes(self, node: str, change: str) -> None:
        """At one node now, at the others perhaps later or never."""
        if change == "gone":
            self.world.notice(node, PlanRemoved(request="r", version=1))
        else:
            plan = (WITHOUT if change == "without rounds" else self.plans)[node]
            self.world.notice(node, PlanInstalled(plan=plan))

    def teardown(self) -> None:
        if hasattr(self, "world"):
            world = self.world
            for node in world.lives:
                world.notice(node, PlanInstalled(plan=self.plans[node]))
            ground = world.lives["a"].purification.asking._ground
            world.settle(3 * ground.lease_ns, 50 * MS)
            world.check_end()


Histories.TestCase.settings = settings(
    max_examples=150, stateful_step_count=50, deadline=None, derandomize=True
)
TestHistories = Histories.TestCase
