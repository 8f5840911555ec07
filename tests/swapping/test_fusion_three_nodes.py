"""Three real nodes a - r - b without a host: one fusion at r, and what each end is told, message by message.

Facts come as messages here, as on the live bus.
"""

import msgspec
import pytest

from bellwire.core.effects import Effect, FuseQubits, Send
from bellwire.core.events import DeviceChanged, Ended, QubitsFused
from bellwire.core.ids import End
from bellwire.core.messages import GroupNews
from bellwire.core.plans import FusionPlan, NodePlan
from tests.node.networks import PERIOD_NS
from tests.swapping.test_three_nodes import HERALDED_NS, Three


class Fusing(Three):
    """The same three nodes with a plan for GHZ states of all three."""

    def __init__(self) -> None:
        self.fusions: list[FuseQubits] = []
        self.told: list[str] = []  # who was sent news of a group
        super().__init__()

    def _plan(self, name: str) -> NodePlan:
        plan = super()._plan(name)
        fusion = FusionPlan(
            request="r",
            kind="ghz",
            members=("a", "r", "b"),
            nodes=("a", "b", "r"),
            links=("a-r", "r-b"),
            branches=tuple(link.link for link in plan.links),
            retains=True,
            edges=(("a", "r"), ("r", "b")),
            order="asap",
        )
        return msgspec.structs.replace(plan, swaps=(), fusion=fusion)

    def saw(self, node: str, effect: Effect) -> None:
        if isinstance(effect, FuseQubits):
            self.fusions.append(effect)
        elif isinstance(effect, Send) and isinstance(effect.message, GroupNews):
            self.told.append(effect.to)

    def fused(self, ended: Ended, bit: int = 0) -> None:
        at_ns = HERALDED_NS + 2 * PERIOD_NS
        event = QubitsFused(
            operation=self.fusions[-1].operation,
            ended=ended,
            bit=bit if ended == "done" else None,
            at_ns=at_ns,
        )
        self.tell(at_ns, "r", event)

    def held(self, node: str) -> list[End]:
        return [slot.end for slot in self.nodes[node].slots.slots() if slot.end is not None]


def fusing() -> Fusing:
    """One pair on each link, born at all four ends; the inner node is fusing."""
    three = Fusing()
    three.herald("a-r", "a", "r")
    three.herald("r-b", "r", "b")
    assert len(three.fusions) == 1
    assert three.measurements == []
    return three


@pytest.mark.parametrize("bit", [0, 1])
def test_all_three_ledgers_know_the_group_and_who_differs_by_an_x(bit: int) -> None:
    three = fusing()
    states = {slot.state for slot in three.nodes["r"].slots.slots()}
    assert states == {"locked", "measuring"}
    three.fused("done", bit)
    ends = {name: three.held(name) for name in ("a", "r", "b")}
    assert [len(held) for held in ends.values()] == [1, 1, 1]
    a, r, b = (held[0] for held in ends.values())
    for node in three.nodes.values():
        fold = node.replica.fold
        assert set(fold.members(a)) == {a, r, b}
        assert fold.complete(a)
        # Both heralds are Psi+, an X error each; the bit reads the difference at r.
        assert fold.turned(r, a) == 2
        assert fold.turned(r, b) == (bit ^ 1) << 1
    assert sorted(set(three.told)) == ["a", "b"]
    assert three.released == []
    states = {slot.link: slot.state for slot in three.nodes["r"].slots.slots()}
    assert sorted(states.values()) == ["attempting", "held"]


@pytest.mark.parametrize("ended", ["failed", "unknown"])
def test_an_unsuccessful_fusion_makes_every_member_discard(ended: Ended) -> None:
    three = fusing()
    three.fused(ended)
    assert sorted(three.released) == ["a", "b"]
    for node in three.nodes.values():
        assert {slot.state for slot in node.slots.slots()} == {"attempting"}
        assert node.replica.fold.ends == {}


def test_an_end_that_dies_while_its_node_fuses_it_is_given_up_after_the_operation() -> None:
    """The memory of a forgets its qubit while r works: r must not stop, and must not keep what is left."""
    three = fusing()
    lost = DeviceChanged(role="memory", ready=False, lost_state=True, reason="reset")
    three.tell(HERALDED_NS + PERIOD_NS, "a", lost)
    assert three.held("a") == []
    assert len(three.held("r")) == 2
    three.fused("done")
    assert three.held("r") == []
    assert three.held("b") == []
    assert three.nodes["r"].replica.fold.ends == {}
