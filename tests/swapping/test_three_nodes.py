"""Three real nodes a - r - b without a host: one swap, and what each end is told, message by message."""

from collections import deque

import pytest

from bellwire.core.effects import Effect, MeasureBell, Publish, ReleaseQubit, Send, StartAttempts
from bellwire.core.events import BellMeasured, Ended, Event, Heralded, PeerChanged, Received, Started
from bellwire.core.messages import PlanInstall
from bellwire.core.plans import LinkPlan, NodePlan
from bellwire.node.machines import QuantumNode
from tests.node.networks import PERIOD_NS, chain
from tests.swapping.bench import swap_plan

LINKS = {"a": ("a-r",), "r": ("a-r", "r-b"), "b": ("r-b",)}
PARTNERS = {("a", "a-r"): "r", ("r", "a-r"): "a", ("r", "r-b"): "b", ("b", "r-b"): "r"}
HERALDED_NS = 30 * PERIOD_NS


class Three:
    """Mail is carried at once and in order; devices are played by the test."""

    def __init__(self) -> None:
        network = chain(station=False, lanes=1)
        self.nodes = {
            name: QuantumNode(network, name, lambda request, version, avoid: "no plan") for name in LINKS
        }
        self.measurements: list[MeasureBell] = []
        self.released: list[str] = []
        self.run: dict[str, int] = {}
        self._mail: deque[tuple[str, Event]] = deque()
        for name in LINKS:
            self.tell(0, name, Started(incarnation=1))
        for name in LINKS:
            for peer in LINKS:
                if peer != name:
                    self.tell(0, name, PeerChanged(peer=peer, state="up", incarnation=1))
        for name in ("b", "r", "a"):  # side 1 of a link knows its request before side 0 offers
            self.tell(
                0, name, Received(source="a", incarnation=1, message=PlanInstall(plan=self._plan(name)))
            )

    def _plan(self, name: str) -> NodePlan:
        return NodePlan(
            request="r",
            version=1,
            source="a",
            destination="b",
            role={"a": "source", "r": "inner", "b": "destination"}[name],
            routes=(("a", "r", "b"),),
            links=tuple(
                LinkPlan(
                    request="r",
                    tree=0,
                    link=link,
                    partner=PARTNERS[name, link],
                    rate_hz=1.0,
                    lanes=0,
                    weight=1,
                    fidelity_min=None,
                )
                for link in LINKS[name]
            ),
            swaps=(swap_plan(),) if name == "r" else (),
            cutoff_ns=None,
            rounds=False,
            lease_ns=10**12,
        )

    def tell(self, now_ns: int, node: str, event: Event) -> None:
        self._mail.append((node, event))
        while self._mail:
            to, word = self._mail.popleft()
            for effect in self.nodes[to].handle(now_ns, word):
                self.saw(to, effect)
                if isinstance(effect, Send):
                    self._mail.append((effect.to, Received(source=to, incarnation=1, message=effect.message)))
                elif isinstance(effect, Publish):
                    for peer in LINKS:
                        if peer != to:
                            word_of = Received(source=to, incarnation=1, message=effect.batch)
                            self._mail.append((peer, word_of))
                elif isinstance(effect, MeasureBell):
                    self.measurements.append(effect)
                elif isinstance(effect, ReleaseQubit):
                    self.released.append(to)
                elif isinstance(effect, StartAttempts):
                    self.run[effect.link] = effect.run

    def saw(self, node: str, effect: Effect) -> None:
        """For those who look for more than this bench does."""

    def herald(self, link: str, *nodes: str) -> None:
        for node in nodes:
            self.tell(
                HERALDED_NS + PERIOD_NS,
                node,
                Heralded(
                    link=link, run=self.run[link], attempt=30, lane=0, code=1, at_ns=HERALDED_NS, sigma_ns=0
                ),
            )

    def measured(self, ended: Ended) -> None:
        order = self.measurements[-1]
        self.tell(
            HERALDED_NS + 2 * PERIOD_NS,
            "r",
            BellMeasured(
                operation=order.operation,
                ended=ended,
                outcome=1 if ended == "done" else None,
                at_ns=HERALDED_NS + 2 * PERIOD_NS,
            ),
        )


def measuring() -> Three:
    """One pair on each link, born at all four ends; the inner node is measuring."""
    three = Three()
    three.herald("a-r", "a", "r")
    three.herald("r-b", "r", "b")
    assert len(three.measurements) == 1
    return three


def test_a_successful_swap_joins_the_outer_ends_in_every_ledger_without_a_word_of_their_own() -> None:
    three = measuring()
    three.measured("done")
    for name, link in (("a", "a-r"), ("b", "r-b")):
        node = three.nodes[name]
        (end,) = (slot.end for slot in node.slots.slots() if slot.end is not None)
        assert end.link == link
        assert node.replica.fold.far_owner(end) == ("b" if name == "a" else "a")
        assert node.replica.fold.complete(end)
        chain_of = node.replica.fold.chain(end)
        assert chain_of is not None
        assert chain_of.frame == 2 ^ 2 ^ 1  # both heralds Psi+, reported outcome Z
        assert chain_of.hops == 2
    assert three.released == []
    # The inner node's memories attempt again, for the next round of pairs.
    assert {slot.state for slot in three.nodes["r"].slots.slots()} == {"attempting"}


@pytest.mark.parametrize("ended", ["failed", "unknown"])
def test_an_unsuccessful_swap_makes_both_outer_nodes_release_their_halves_and_go_on(ended: Ended) -> None:
    three = measuring()
    three.measured(ended)
    assert sorted(three.released) == ["a", "b"]
    for node in three.nodes.values():
        assert {slot.state for slot in node.slots.slots()} == {"attempting"}
        assert list(node.replica.fold.available(HERALDED_NS + 3 * PERIOD_NS)) == []


def test_a_half_that_is_born_after_its_pair_was_swapped_away_and_failed_dies_at_birth() -> None:
    three = Three()
    three.herald("a-r", "r")
    three.herald("r-b", "r", "b")
    three.measured("failed")
    assert three.released == ["b"]
    three.herald("a-r", "a")
    assert three.released == ["b", "a"]
    assert {slot.state for slot in three.nodes["a"].slots.slots()} == {"attempting"}
