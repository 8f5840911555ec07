"""Three real nodes a - r - b without a host: r is a vertex between two others, and turns the pair of a."""

import msgspec
import pytest

from bellwire.core.effects import ApplyPauli, Effect
from bellwire.core.events import Ended, PauliApplied, Received
from bellwire.core.messages import PlanWithdrawn
from bellwire.core.plans import FusionKnot, NodePlan
from tests.node.networks import PERIOD_NS
from tests.swapping.test_fusion_three_nodes import Fusing
from tests.swapping.test_three_nodes import HERALDED_NS


class Turning(Fusing):
    """A path a - r - b with the edge to a at r."""

    def __init__(self) -> None:
        self.gates: list[ApplyPauli] = []
        super().__init__()

    def _plan(self, name: str) -> NodePlan:
        plan = super()._plan(name)
        assert plan.fusion is not None
        knots = {
            "a": (FusionKnot(links=("a-r",), parent=None),),
            "r": (FusionKnot(links=("r-b",), parent=None), FusionKnot(links=("a-r",), parent=0)),
            "b": (FusionKnot(links=("r-b",), parent=None),),
        }
        fusion = msgspec.structs.replace(
            plan.fusion,
            kind="graph",
            graph=(("a", "r"), ("r", "b")),
            turns_last=("b",),
            knots=knots[name],
        )
        return msgspec.structs.replace(plan, fusion=fusion)

    def saw(self, node: str, effect: Effect) -> None:
        super().saw(node, effect)
        if isinstance(effect, ApplyPauli) and node == "r":
            self.gates.append(effect)

    def turned(self, ended: Ended) -> None:
        at_ns = HERALDED_NS + 2 * PERIOD_NS
        self.tell(at_ns, "r", PauliApplied(operation=self.gates[-1].operation, ended=ended, at_ns=at_ns))


def turning() -> Turning:
    """Both pairs are born, and the gate is under way."""
    three = Turning()
    three.herald("a-r", "a", "r")
    three.herald("r-b", "r", "b")
    (gate,) = three.gates
    assert (gate.pauli, gate.hadamard) == (0, True)
    return three


def test_a_state_is_turned_before_it_is_joined_to_the_next_vertex() -> None:
    three = turning()
    assert three.fusions == []
    three.turned("done")
    assert len(three.fusions) == 1
    three.fused("done")
    (kept,) = three.held("r")
    for node in three.nodes.values():
        assert node.replica.fold.complete(kept)
        # Both heralds are Psi+. X of a's pair is Z of r behind the gate; that of b, a leaf, is its own Z.
        signs = node.replica.fold.signs(kept, (*three.held("a"), kept))
        assert [signs[end] for name in "arb" for end in three.held(name)] == [0, 1, 1]
    assert three.nodes["r"].fusion.counters["turned"] == 1


@pytest.mark.parametrize("ended", ["failed", "unknown"])
def test_a_gate_that_fails_makes_both_ends_of_its_state_discard(ended: Ended) -> None:
    three = turning()
    three.turned(ended)
    assert three.fusions == []
    assert sorted(three.released) == ["a", "r"]
    assert three.held("a") == []
    assert [len(three.held(name)) for name in "rb"] == [1, 1]
    assert three.nodes["r"].fusion.counters["turns_failed"] == 1


def test_a_state_whose_plan_ends_while_it_is_turned_is_given_up_after_the_gate() -> None:
    three = turning()
    for name in ("r", "a", "b"):
        removal = Received(source="a", incarnation=1, message=PlanWithdrawn(request="r", version=1))
        three.tell(HERALDED_NS + PERIOD_NS, name, removal)
    three.turned("done")
    assert [three.held(name) for name in "arb"] == [[], [], []]
    assert three.fusions == []
