"""Instructions say to each node what its plan says, and to nobody anything else.

Owns the tests of instructions.py.
"""

import math
from collections import Counter
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bellwire.core.errors import LocalMisuse
from bellwire.core.ids import PairId
from bellwire.planner.assessment import PairPlan, assess
from bellwire.planner.batch.iterative import plan_batch
from bellwire.planner.capacity import Residual
from bellwire.planner.instructions import (
    Expected,
    LinkInstruction,
    NodeInstructions,
    PurificationInstruction,
    StoredInstruction,
    SwappingInstruction,
    instructions_of,
    rounds_of,
)
from bellwire.planner.methods import plan_pair
from bellwire.planner.multipartite.values import MultipartitePlan, Operation, PairSupply, Qubit
from bellwire.planner.requests import PairRequest
from bellwire.planner.structures import (
    LinkLeaf,
    PurifyNode,
    StoredLeaf,
    SwapNode,
    Tree,
    leaves,
    purified,
    swapped,
)
from bellwire.planner.topology import Topology, pair_of
from tests.planner.reports.trees import line, planned_trees
from tests.planner.single.test_exact import asked, chain


def plan_of(tree: Tree, topology: Topology) -> PairPlan:
    return assess(tree, Residual(topology), "made by hand")


def subtrees(tree: Tree) -> Iterator[Tree]:
    """All subtrees, children before parents, as instructions number them."""
    match tree:
        case SwapNode():
            yield from subtrees(tree.one)
            yield from subtrees(tree.other)
        case PurifyNode():
            yield from subtrees(tree.kept)
            yield from subtrees(tree.measured)
        case _:
            pass
    yield tree


def all_of(told: dict[str, NodeInstructions]) -> Iterator[tuple[str, object]]:
    for name, each in told.items():
        for group in (each.swapping, each.fusion, each.links, each.stored, each.purification):
            for instruction in group:
                yield name, instruction


# --- worked -----------------------------------------------------------------------------------------------


def test_two_links_of_ten_kilometres_are_told_as_the_paper_words_it() -> None:
    topology = chain(10.0, 10.0)
    found = plan_pair(Residual(topology), asked("A", "C"))
    told = instructions_of(found, topology, "r")
    link_hz, pair_hz = 132.1023777, 35.04213
    assert list(told) == ["A", "B", "C"]
    assert [(each.partner, each.request) for each in told["A"].links] == [("B", "r")]
    assert [each.partner for each in told["B"].links] == ["A", "C"]
    assert [each.partner for each in told["C"].links] == ["B"]
    for node in told.values():
        for link in node.links:
            assert link.expected.rate_hz == pytest.approx(link_hz, abs=5e-8)
            assert link.expected.number is None
    (swap,) = told["B"].swapping
    assert (swap.left_partner, swap.right_partner) == ("A", "C")
    assert swap.expected.rate_hz == pytest.approx(pair_hz, abs=5e-6)
    assert (swap.left_pair, swap.right_pair, swap.product) == (1, 2, 3)
    assert not told["A"].swapping
    assert not told["C"].swapping


def test_a_wanted_count_is_told_in_numbers_that_grow_towards_the_links() -> None:
    topology = chain(10.0, 10.0, 10.0, 10.0)
    found = plan_pair(Residual(topology), asked("A", "E"))
    told = instructions_of(found, topology, "r", count=100)
    assert told["C"].swapping[0].expected == Expected(None, 100.0)
    assert told["B"].swapping[0].expected.number == pytest.approx(100.0 / 0.4)
    assert told["A"].links[0].expected.number == pytest.approx(100.0 / 0.4 / 0.4)


def test_two_rounds_of_recurrence_are_one_plan_over_four_pairs_at_both_ends() -> None:
    topology = line(1)
    leaf = LinkLeaf("n0", "n1", 0.01)
    once = purified(topology, leaf, leaf, 0.8, scheme="dejmps", pumping=False)
    twice = purified(topology, once, once, 0.9, scheme="dejmps", pumping=False)
    told = instructions_of(plan_of(twice, topology), topology, "r", count=9)
    for name, partner in (("n0", "n1"), ("n1", "n0")):
        (rounds,) = told[name].purification
        assert (rounds.partner, rounds.rounds, rounds.pumping, rounds.scheme) == (partner, 2, False, "dejmps")
        assert rounds.inputs == (1, 2, 4, 5)
        assert rounds.product == 7
        assert [link.product for link in told[name].links] == [1, 2, 4, 5]
        assert all(link.expected.number == pytest.approx(9 / 0.9 / 0.8) for link in told[name].links)


def test_three_rounds_of_pumping_are_one_plan_that_takes_pairs_in_turn() -> None:
    topology = line(1)
    tree: Tree = LinkLeaf("n0", "n1", 0.01)
    for _ in range(3):
        tree = purified(topology, tree, LinkLeaf("n0", "n1", 0.01), 0.8, scheme="bbpssw", pumping=True)
    (rounds,) = instructions_of(plan_of(tree, topology), topology, "r")["n0"].purification
    assert (rounds.rounds, rounds.pumping, rounds.inputs, rounds.product) == (3, True, (1, 2, 4, 6), 7)


def test_a_pair_that_was_pumped_itself_before_it_is_consumed_keeps_its_own_plan() -> None:
    topology = line(1)
    leaf = LinkLeaf("n0", "n1", 0.01)
    pumped = purified(topology, leaf, leaf, 0.8, scheme="dejmps", pumping=True)
    twice = purified(topology, pumped, pumped, 0.8, scheme="dejmps", pumping=True)
    told = instructions_of(plan_of(twice, topology), topology, "r")["n0"].purification
    assert [(each.rounds, each.inputs, each.product) for each in told] == [(1, (4, 5), 6), (2, (1, 2, 6), 7)]


def test_rounds_of_different_kinds_are_told_apart() -> None:
    topology = line(1)
    leaf = LinkLeaf("n0", "n1", 0.01)
    pumped = purified(topology, leaf, leaf, 0.8, scheme="dejmps", pumping=True)
    mixed = purified(topology, pumped, leaf, 0.8, scheme="dejmps", pumping=False)
    told = instructions_of(plan_of(mixed, topology), topology, "r")["n1"].purification
    assert [(each.rounds, each.pumping, each.inputs, each.product) for each in told] == [
        (1, True, (1, 2), 3),
        (1, False, (3, 4), 5),
    ]
    uneven = purified(
        topology,
        purified(topology, leaf, leaf, 0.8, scheme="dejmps", pumping=False),
        leaf,
        0.8,
        scheme="dejmps",
        pumping=False,
    )
    assert rounds_of(uneven).rounds == 1


def test_a_stored_pair_is_given_by_both_its_owners_under_its_name_in_the_ledger() -> None:
    topology = line(2)
    kept = StoredLeaf("n1", "n2", PairId("west", 7, 3, 0), (1.0, 0.0, 0.0, 0.0), 0.1, 10.0)
    tree = swapped(topology, LinkLeaf("n0", "n1", 0.01), kept)
    told = instructions_of(plan_of(tree, topology), topology, "r")
    assert [(each.partner, each.pair) for each in told["n1"].stored] == [("n2", PairId("west", 7, 3, 0))]
    assert [(each.partner, each.pair) for each in told["n2"].stored] == [("n1", PairId("west", 7, 3, 0))]
    assert not told["n0"].stored
    assert not told["n2"].links
    assert told["n1"].swapping[0].expected == Expected(None, 0.4)
    assert told["n0"].links[0].expected == Expected(None, 1.0)


def test_counts_that_a_plan_cannot_have_are_misuse() -> None:
    topology = line(2)
    kept = StoredLeaf("n1", "n2", "s", (1.0, 0.0, 0.0, 0.0), 0.1, 10.0)
    once = plan_of(swapped(topology, LinkLeaf("n0", "n1", 0.01), kept), topology)
    assert instructions_of(once, topology, "r", count=1) == instructions_of(once, topology, "r")
    with pytest.raises(LocalMisuse, match="2 pairs"):
        instructions_of(once, topology, "r", count=2)
    plain = plan_of(LinkLeaf("n0", "n1", 0.01), topology)
    with pytest.raises(LocalMisuse, match="0 pairs"):
        instructions_of(plain, topology, "r", count=0)
    batch = plan_batch(Residual(topology), [PairRequest(request="q", source="n0", destination="n1")])
    with pytest.raises(LocalMisuse, match="one pair"):
        instructions_of(batch, topology, count=1)


# --- every tree -------------------------------------------------------------------------------------------


@given(planned_trees())
@settings(max_examples=200, derandomize=True, deadline=None)
def test_every_step_of_a_tree_is_told_to_exactly_those_who_do_it(case: tuple[Topology, Tree]) -> None:
    topology, tree = case
    told = instructions_of(plan_of(tree, topology), topology, "r")
    numbered = dict(enumerate(subtrees(tree), start=1))
    inside: set[int] = set()  # rounds that a round above them speaks for
    for each in reversed(numbered.values()):
        if isinstance(each, PurifyNode) and id(each) not in inside:
            inside |= _inner_rounds(each, rounds_of(each).rounds)
    seen: Counter[tuple[str, int]] = Counter()
    for name, instruction in all_of(told):
        assert isinstance(
            instruction, SwappingInstruction | LinkInstruction | StoredInstruction | PurificationInstruction
        )
        assert instruction.request == "r"
        made = numbered[instruction.product]
        seen[name, instruction.product] += 1
        if isinstance(instruction, SwappingInstruction):
            assert isinstance(made, SwapNode)
            assert name == made.at
            assert (instruction.left_partner, instruction.right_partner) == (made.left, made.right)
            assert numbered[instruction.left_pair] is made.one
            assert numbered[instruction.right_pair] is made.other
        else:
            assert {name, instruction.partner} == {made.left, made.right}
        if isinstance(instruction, PurificationInstruction):
            assert isinstance(made, PurifyNode)
            assert [numbered[each] for each in instruction.inputs] == list(rounds_of(made).inputs)
            expected = instruction.rounds + 1 if instruction.pumping else 2**instruction.rounds
            assert len(instruction.inputs) == expected
    wanted: Counter[tuple[str, int]] = Counter()
    for number, each in numbered.items():
        if isinstance(each, SwapNode):
            wanted[each.at, number] += 1
        elif id(each) not in inside:
            wanted[each.left, number] += 1
            wanted[each.right, number] += 1
    assert seen == wanted


def _inner_rounds(tree: Tree, rounds: int) -> set[int]:
    if rounds <= 1 or not isinstance(tree, PurifyNode):
        return set()
    below = {id(tree.kept)} | _inner_rounds(tree.kept, rounds - 1)
    return below if tree.pumping else below | {id(tree.measured)} | _inner_rounds(tree.measured, rounds - 1)


@given(planned_trees(stored=False))
@settings(max_examples=100, derandomize=True, deadline=None)
def test_rates_are_the_reciprocal_latencies_and_numbers_obey_the_success_probabilities(
    case: tuple[Topology, Tree],
) -> None:
    topology, tree = case
    numbered = dict(enumerate(subtrees(tree), start=1))
    plan = plan_of(tree, topology)
    for _, instruction in all_of(instructions_of(plan, topology, "r")):
        if isinstance(instruction, SwappingInstruction | LinkInstruction):
            assert instruction.expected.number is None
            assert instruction.expected.rate_hz == 1.0 / numbered[instruction.product].latency_s
    numbers: dict[int, float] = {}
    told = instructions_of(plan, topology, "r", count=50)
    for _, instruction in all_of(told):
        if isinstance(instruction, SwappingInstruction | LinkInstruction):
            assert instruction.expected.rate_hz is None
            assert instruction.expected.number is not None
            numbers[instruction.product] = instruction.expected.number
    assert numbers.get(len(numbered), 50.0) == pytest.approx(50.0)
    for node in told.values():
        for swap in node.swapping:
            for pair in (swap.left_pair, swap.right_pair):
                if pair in numbers:
                    chance = topology.nodes[node.node].swap_probability
                    assert numbers[pair] * chance == pytest.approx(numbers[swap.product])


@given(planned_trees(stored=False, purify=False))
@settings(max_examples=50, derandomize=True, deadline=None)
def test_the_rates_told_for_a_link_are_what_the_plan_takes_from_it(case: tuple[Topology, Tree]) -> None:
    topology, tree = case
    plan = plan_of(tree, topology)
    for name, node in instructions_of(plan, topology, "r").items():
        for partner in {link.partner for link in node.links}:
            rates = [link.expected.rate_hz for link in node.links if link.partner == partner]
            told_hz = math.fsum(rate for rate in rates if rate is not None)
            assert told_hz == pytest.approx(plan.use.links_hz[pair_of(name, partner)])


@given(planned_trees(), st.integers(0, 2**32 - 1))
@settings(max_examples=20, derandomize=True, deadline=None)
def test_the_numbers_of_one_run_are_the_means_of_runs_played_out(
    case: tuple[Topology, Tree], seed: int
) -> None:
    """2,000 runs of each of 20 trees; a mean off by more than 6 standard errors fails (about 1e-9 each)."""
    topology, tree = case
    if not any(isinstance(leaf, StoredLeaf) for leaf in leaves(tree)):
        return
    told = instructions_of(plan_of(tree, topology), topology, "r")
    numbers = {
        each.product: each.expected.number
        for _, each in all_of(told)
        if isinstance(each, SwappingInstruction) and _once(tree, each.product)
    }
    chance = np.random.default_rng(seed)
    runs = 2000
    made: Counter[int] = Counter()
    for _ in range(runs):
        _play(tree, topology, chance, made, [0])
    for product, number in numbers.items():
        assert number is not None
        error = math.sqrt(max(number * (1.0 - number), 1.0 / runs) / runs)
        assert abs(made[product] / runs - number) <= 6.0 * error


def _once(tree: Tree, product: int) -> bool:
    made = dict(enumerate(subtrees(tree), start=1))[product]
    return any(isinstance(leaf, StoredLeaf) for leaf in leaves(made))


def _play(
    tree: Tree, topology: Topology, chance: np.random.Generator, made: Counter[int], counter: list[int]
) -> bool:
    """One run; subtrees without a stored pair always deliver in the end."""
    match tree:
        case SwapNode():
            parts, probability = (tree.one, tree.other), topology.nodes[tree.at].swap_probability
        case PurifyNode():
            parts, probability = (tree.kept, tree.measured), tree.success_probability
        case _:
            counter[0] += 1
            return True
    there = [_play(part, topology, chance, made, counter) for part in parts]
    counter[0] += 1
    number = counter[0]
    if not any(isinstance(leaf, StoredLeaf) for leaf in leaves(tree)):
        return True
    works = all(there) and bool(chance.random() < probability)
    made[number] += works
    return works


# --- several trees ----------------------------------------------------------------------------------------


def test_a_batch_numbers_the_trees_of_each_request() -> None:
    topology = line(3)
    requests = [
        PairRequest(request="long", source="n0", destination="n3", rate_hz=20.0),
        PairRequest(request="short", source="n1", destination="n2", rate_hz=50.0),
    ]
    batch = plan_batch(Residual(topology), requests, "fair")
    told = instructions_of(batch, topology)
    trees = {
        (instruction.request, instruction.tree)
        for _, instruction in all_of(told)
        if isinstance(instruction, LinkInstruction)
    }
    assert trees == {(share.request, index) for share in batch.shares for index in range(len(share.trees))}
    for pair, rate_hz in batch.use.links_hz.items():
        rates = [link.expected.rate_hz for link in told[pair[0]].links if link.partner == pair[1]]
        assert math.fsum(rate for rate in rates if rate is not None) == pytest.approx(rate_hz)


def test_a_fusion_is_told_to_the_node_that_acts_with_its_partners_and_who_must_hear_of_a_failure() -> None:
    topology = chain(10.0, 10.0)
    supplies = tuple(
        PairSupply((plan_pair(Residual(topology), asked(a, b)),)) for a, b in (("A", "B"), ("B", "C"))
    )
    qubits = (Qubit(0, "left", "A"), Qubit(0, "right", "B"), Qubit(1, "right", "C"))
    fusion = Operation(
        action="fuse_retain",
        node="B",
        steps=(),
        consumes=(0, 1),
        yields=2,
        members=qubits,
        waits_s=(0.0, 0.0),
        busy_s=1e-4,
        success_probability=0.4,
        latency_s=0.02,
        tell=("A", "C"),
    )
    plan = MultipartitePlan(
        request="ghz",
        kind="ghz",
        method="made by hand",
        members=("A", "B", "C"),
        qubits=qubits,
        pairs=supplies,
        operations=(fusion,),
        latency_s=0.02,
        fidelity=1.0,
        success_probability=0.4,
        age_s=0.0,
        use=supplies[0].trees[0].use,
    )
    told = instructions_of(plan, topology)
    (only,) = told["B"].fusion
    assert only.partners == (("A",), ("C",))
    assert only.trees == ((0,), (1,))
    assert only.expected == Expected(50.0, None)
    assert only.operation.tell == ("A", "C")
    assert not told["A"].fusion
    assert [(link.tree, link.partner) for link in told["B"].links] == [(0, "A"), (1, "C")]
