"""The slotted chain's policy: what it reads off the ledger's pairs, when it decides, and what it refuses."""

import pytest

from bellwire.core.errors import ConfigError, LocalMisuse
from bellwire.core.plans import RouteTable
from bellwire.study.optimum_slots import SlotChain, SlotProcess, State, able
from bellwire.study.slot_policy import SLOTTED, SlotPolicy, choices_of
from bellwire.swapping.candidates import Choice, Held, Segment, Situation
from bellwire.swapping.paces import Pace
from bellwire.swapping.policies import policy_of
from tests.simulation.slotted import slotted_plugin
from tests.swapping.bench import end_of, swap_plan
from tests.swapping.tables import uniform

SLOT_NS = 100_000
AFTER_NS = 200
CLICK_NS = 5_099_000


def ends_at(state: State, at: int) -> tuple[Held, Held]:
    """The two ends that a node of the chain holds in a state."""
    sides: dict[str, Held] = {}
    for one, other, age in state:
        if at not in (one, other):
            continue
        link = "a-r" if other == at else "r-b"
        slot = SlotOf(CLICK_NS - age * SLOT_NS)
        held = Held(slot, end_of(link, 1), CLICK_NS)  # type: ignore[arg-type]  # what a policy reads of a slot
        held.far, held.known = (one if other == at else other), True
        sides[link] = held
    return sides["a-r"], sides["r-b"]


class SlotOf:
    """A slot of which only the birth is asked."""

    def __init__(self, born_ns: int) -> None:
        self.born_ns = born_ns


def chosen(policy: SlotPolicy, state: State, at: int, late_ns: int = AFTER_NS) -> Choice:
    """What the policy does at a node, so long after the click of the slot."""
    table: RouteTable = uniform(at)
    present: dict[Segment, int] = {(one, other): CLICK_NS - age * SLOT_NS for one, other, age in state}
    left, right = ends_at(state, at)
    plan = swap_plan(route=("a", "r1", "r2", "r3", "b"), table=table)
    return policy.choose(Situation(plan, (left,), (right,), 0.0, CLICK_NS + late_ns, present))


def slotted(**options: float | str) -> SlotPolicy:
    return SLOTTED.make({**SLOTTED.traits.options, **options})


@pytest.mark.parametrize("play", ["asap", "nested", "best"])
def test_in_every_state_the_nodes_that_swap_are_those_of_the_solved_process(play: str) -> None:
    chain = SlotChain(5, 0.9, 0.5, 2)
    policy = slotted(play=play, success=0.9, swap=0.5)
    choices = choices_of(play, 5, chain)
    decided = 0
    for state in SlotProcess(chain).states:
        swaps = tuple(at for at in able(state) if chosen(policy, state, at) is not None)
        assert swaps == choices[state]
        decided += len(able(state)) > 0
    assert decided > 100


def test_the_optimum_waits_where_swap_asap_swaps() -> None:
    best, asap = (choices_of(play, 5, SlotChain(5, 0.9, 0.5, 2)) for play in ("best", "asap"))
    assert sum(best[state] != asap[state] for state in asap) > 20


def test_nothing_is_decided_between_the_moments() -> None:
    policy = slotted(play="asap")
    state = ((0, 1, 1), (1, 2, 0))
    assert chosen(policy, state, 1) is not None
    for late_ns in (0, AFTER_NS - 1, AFTER_NS + 1, SLOT_NS):
        assert chosen(policy, state, 1, late_ns) is None


def test_pairs_that_the_chain_cannot_have_stop_the_node() -> None:
    with pytest.raises(LocalMisuse, match="are all links in step"):
        chosen(slotted(play="asap"), ((0, 1, 3), (1, 2, 0)), 1)


def test_moments_are_whole_slots_apart_and_the_next_one_is_always_ahead() -> None:
    pace = Pace(SLOT_NS, AFTER_NS)
    assert pace.next_ns(1000, 1000) == 1200
    assert pace.next_ns(1000, 1199) == 1200
    assert pace.next_ns(1000, 1200) == 101_200
    assert pace.next_ns(1000, 950_000) == 1_001_200
    for now_ns in (1000, 1199, 1200, 77_777, 950_000):
        assert pace.is_due(1000, pace.next_ns(1000, now_ns))
    assert not pace.is_due(1000, 1000)
    assert not pace.is_due(201_200, 101_400)  # a moment of the grid, but before the birth


def test_the_cutoff_counts_slots_and_nobody_waits_too_long() -> None:
    policy = slotted(cutoff_slots=3.0, cut_us=0.5)
    assert policy.cutoffs.segment_s(uniform(1), 0, 1) == pytest.approx(300.5e-6, rel=1e-12)
    assert policy.cutoffs.patience_s(uniform(1), 0, 1) == float("inf")


def test_a_whole_policy_is_asked_for_alone() -> None:
    with slotted_plugin():
        assert isinstance(policy_of("slotted(play=nested)"), SlotPolicy)
        for mode in ("slotted > oldest", "oldest + slotted", "oldest if hops < 3 else slotted"):
            with pytest.raises(ConfigError, match="combines with no policy"):
                policy_of(mode)
