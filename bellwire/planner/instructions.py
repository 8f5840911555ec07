"""What each node is told of a plan: the stack paper's Plan Dispatch API, node by node.

Owns the instruction values and the walk from a plan to them. Refuses dispatch, versions and leases
(protocols.py), and the choice of anything: an instruction says what the plan says.

Every instruction of the paper has "the expected rate or number". A plan that runs on is told in rates: the
reciprocal latency of the subtree that makes the pairs. A wanted count of pairs is told in numbers: a swap
that succeeds with p_b consumes 1/p_b times what it yields, and so on down to the links. A tree that takes a
stored pair can run once only, so it is always told in the numbers of that one run.

All nodes number the pairs of a tree alike, children before parents and left before right (the kept pair of
a purification before the measured one), so that a node knows which of its pairs to swap when several join it
with the same partner.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import count as counted
from typing import NamedTuple, TypeVar

from bellwire.core.errors import LocalMisuse
from bellwire.core.ids import NodeId, PairId
from bellwire.planner.assessment import PairPlan
from bellwire.planner.batch.batch_plan import BatchPlan
from bellwire.planner.multipartite.values import MultipartitePlan, Operation
from bellwire.planner.structures import LinkLeaf, PurifyNode, Scheme, StoredLeaf, SwapNode, Tree, leaves
from bellwire.planner.topology import Topology


class Expected(NamedTuple):
    """How many pairs an instruction should yield: exactly one of the two is there."""

    rate_hz: float | None  # pairs per second while the plan runs; None: a number is expected
    number: float | None  # mean number of pairs for the whole request; None: a rate is expected


@dataclass(frozen=True, slots=True, kw_only=True)
class SwappingInstruction:
    """Swap two pairs, each with one end here. The product joins the two partners."""

    request: str
    tree: int  # of the request, from 0
    left_partner: NodeId
    right_partner: NodeId
    expected: Expected  # products of the swap
    left_pair: int  # numbers of the two pairs within the tree
    right_pair: int
    product: int  # number of the pair that comes out


@dataclass(frozen=True, slots=True, kw_only=True)
class FusionInstruction:
    """Make one state of several, each with a qubit here, or change one: a step of a multipartite plan."""

    request: str
    partners: tuple[tuple[NodeId, ...], ...]  # other owners of each consumed state
    trees: tuple[
        tuple[int, ...], ...
    ]  # trees that make each consumed state; none: an operation before makes it
    expected: Expected  # products of the operation
    operation: Operation  # what is done, what comes out, and who hears of a failure


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkInstruction:
    """Make link pairs with a neighbour."""

    request: str
    tree: int
    partner: NodeId
    expected: Expected
    product: int


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredInstruction:
    """Give a pair that lies in memory already to this tree."""

    request: str
    tree: int
    partner: NodeId
    pair: PairId | str  # name in the ledger
    product: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PurificationInstruction:
    """Purify with a partner before the pair is used further.

    Recurrence: 2^rounds pairs side by side, in rounds of equals. Pumping: one pair is kept, and each round
    consumes one more, in the order of `inputs`.
    """

    request: str
    tree: int
    partner: NodeId
    rounds: int
    pumping: bool
    scheme: Scheme
    inputs: tuple[int, ...]  # numbers of the pairs that go in
    product: int


Instruction = (
    SwappingInstruction | FusionInstruction | LinkInstruction | StoredInstruction | PurificationInstruction
)


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeInstructions:
    """Everything that one node is told of one plan, each kind in the order of its products."""

    node: NodeId
    swapping: tuple[SwappingInstruction, ...] = ()
    fusion: tuple[FusionInstruction, ...] = ()
    links: tuple[LinkInstruction, ...] = ()
    stored: tuple[StoredInstruction, ...] = ()
    purification: tuple[PurificationInstruction, ...] = ()


def instructions_of(
    plan: PairPlan | BatchPlan | MultipartitePlan,
    topology: Topology,
    request: str = "",
    count: int | None = None,
) -> dict[NodeId, NodeInstructions]:
    """What every node of a plan is told; nodes that are told nothing are left out.

    request: name of the request of a plan for one pair; the others have their own.
    count: pairs wanted of a plan for one pair; None: it runs on, and rates are told.

    Raises:
        LocalMisuse: a count below 1, or above 1 for a tree that takes a stored pair, or for another plan.
    """
    book = _InstructionBook()
    if isinstance(plan, PairPlan):
        _tell_tree(book, plan.tree, topology, request, 0, count)
        return book.nodes()
    if count is not None:
        raise LocalMisuse("a count belongs to a plan for one pair")
    if isinstance(plan, BatchPlan):
        for share in plan.shares:
            for index, each in enumerate(share.trees):
                _tell_tree(book, each.tree, topology, share.request, index, None)
    else:
        _tell_state(book, plan, topology)
    return book.nodes()


class _InstructionBook:
    """Instructions as they are given, node by node."""

    def __init__(self) -> None:
        self._given: dict[NodeId, list[Instruction]] = {}

    def give(self, node: NodeId, instruction: Instruction) -> None:
        """One more instruction for a node."""
        self._given.setdefault(node, []).append(instruction)

    def nodes(self) -> dict[NodeId, NodeInstructions]:
        """All instructions, nodes in the order in which they were first told something."""
        return {
            node: NodeInstructions(
                node=node,
                swapping=_only(SwappingInstruction, given),
                fusion=_only(FusionInstruction, given),
                links=_only(LinkInstruction, given),
                stored=_only(StoredInstruction, given),
                purification=_only(PurificationInstruction, given),
            )
            for node, given in self._given.items()
        }


Kind = TypeVar("Kind")


def _only(kind: type[Kind], given: Iterable[Instruction]) -> tuple[Kind, ...]:
    return tuple(each for each in given if isinstance(each, kind))


def _tell_tree(
    book: _InstructionBook, tree: Tree, topology: Topology, request: str, index: int, count: int | None
) -> None:
    once = _takes_stored(tree)
    if count is not None and (count < 1 or (once and count > 1)):
        raise LocalMisuse(f"request {request}: {count} pairs cannot be wanted of this tree")
    number = _of_one_run(tree, topology) if once else None if count is None else float(count)
    _TreeWalk(book, topology, request, index).visit(tree, number)


def _tell_state(book: _InstructionBook, plan: MultipartitePlan, topology: Topology) -> None:
    """Trees are numbered through, pair after pair; an operation names the trees of its pairs."""
    trees: dict[int, tuple[int, ...]] = {}
    owners: dict[int, tuple[NodeId, ...]] = {}
    numbers = counted()
    for pair, supply in enumerate(plan.pairs):
        trees[pair] = tuple(next(numbers) for _ in supply.trees)
        owners[pair] = (supply.left, supply.right)
        for index, each in zip(trees[pair], supply.trees, strict=True):
            _tell_tree(book, each.tree, topology, plan.request, index, None)
    for operation in plan.operations:
        # a state that neither a pair nor an operation made is a qubit that the node prepares alone
        inputs = [owners.get(state, (operation.node,)) for state in operation.consumes]
        told = FusionInstruction(
            request=plan.request,
            partners=tuple(tuple(name for name in each if name != operation.node) for each in inputs),
            trees=tuple(trees.get(state, ()) for state in operation.consumes),
            expected=Expected(operation.rate_hz, None),
            operation=operation,
        )
        book.give(operation.node, told)
        owners[operation.yields] = operation.nodes


class _TreeWalk:
    """The instructions of one tree, from its leaves up."""

    def __init__(self, book: _InstructionBook, topology: Topology, request: str, index: int) -> None:
        self._book, self._topology = book, topology
        self._request, self._index = request, index
        self._pairs = 0

    def visit(self, tree: Tree, number: float | None) -> int:
        """Tell a subtree, of which `number` pairs are wanted (None: its rate); the number of its pair."""
        match tree:
            case SwapNode():
                self._visit_swap(tree, number)
            case PurifyNode():
                self._visit_purification(tree, number)
            case LinkLeaf():
                self._pairs += 1
                for node, partner in ((tree.left, tree.right), (tree.right, tree.left)):
                    told = LinkInstruction(
                        request=self._request,
                        tree=self._index,
                        partner=partner,
                        expected=_expected(tree, number),
                        product=self._pairs,
                    )
                    self._book.give(node, told)
            case StoredLeaf():
                self._pairs += 1
                for node, partner in ((tree.left, tree.right), (tree.right, tree.left)):
                    given = StoredInstruction(
                        request=self._request,
                        tree=self._index,
                        partner=partner,
                        pair=tree.pair,
                        product=self._pairs,
                    )
                    self._book.give(node, given)
        return self._pairs

    def _visit_swap(self, tree: SwapNode, number: float | None) -> None:
        chance = self._topology.nodes[tree.at].swap_probability
        left = self.visit(tree.one, self._wanted(tree, tree.one, number, chance))
        right = self.visit(tree.other, self._wanted(tree, tree.other, number, chance))
        self._pairs += 1
        told = SwappingInstruction(
            request=self._request,
            tree=self._index,
            left_partner=tree.left,
            right_partner=tree.right,
            expected=_expected(tree, number),
            left_pair=left,
            right_pair=right,
            product=self._pairs,
        )
        self._book.give(tree.at, told)

    def _visit_purification(self, tree: PurifyNode, number: float | None) -> None:
        rounds = rounds_of(tree).rounds
        inputs = self._visit_inputs(tree, number, rounds)
        for node, partner in ((tree.left, tree.right), (tree.right, tree.left)):
            told = PurificationInstruction(
                request=self._request,
                tree=self._index,
                partner=partner,
                rounds=rounds,
                pumping=tree.pumping,
                scheme=tree.scheme,
                inputs=inputs,
                product=self._pairs,
            )
            self._book.give(node, told)

    def _visit_inputs(self, tree: Tree, number: float | None, rounds: int) -> tuple[int, ...]:
        """Tell what lies below some rounds, and number the pairs of the rounds themselves."""
        if rounds == 0 or not isinstance(tree, PurifyNode):
            return (self.visit(tree, number),)
        kept = self._wanted(tree, tree.kept, number, tree.success_probability)
        measured = self._wanted(tree, tree.measured, number, tree.success_probability)
        inputs = (
            *self._visit_inputs(tree.kept, kept, rounds - 1),
            *self._visit_inputs(tree.measured, measured, 0 if tree.pumping else rounds - 1),
        )
        self._pairs += 1
        return inputs

    def _wanted(self, tree: Tree, child: Tree, number: float | None, chance: float) -> float | None:
        """Pairs that a child must yield so that its parent yields `number`."""
        if number is None:
            return None
        if _takes_stored(child):
            return _of_one_run(child, self._topology)
        return 1.0 if _takes_stored(tree) else number / chance


def _expected(tree: Tree, number: float | None) -> Expected:
    return Expected(1.0 / tree.latency_s, None) if number is None else Expected(None, number)


def _takes_stored(tree: Tree) -> bool:
    return any(isinstance(leaf, StoredLeaf) for leaf in leaves(tree))


def _of_one_run(tree: Tree, topology: Topology) -> float:
    """Mean number of pairs of a tree: tried once where a stored pair is involved, else until it works."""
    if not _takes_stored(tree):
        return 1.0
    match tree:
        case SwapNode():
            chance = topology.nodes[tree.at].swap_probability
            return chance * _of_one_run(tree.one, topology) * _of_one_run(tree.other, topology)
        case PurifyNode():
            chance = tree.success_probability
            return chance * _of_one_run(tree.kept, topology) * _of_one_run(tree.measured, topology)
        case _:
            return 1.0


class Rounds(NamedTuple):
    """Purification rounds that belong together, and the pairs that go in, in the order of their use."""

    rounds: int
    inputs: tuple[Tree, ...]


def rounds_of(tree: PurifyNode) -> Rounds:
    """The rounds at the top of a tree: pumped ones in a row, or a recurrence in which equals meet."""
    if tree.pumping:
        rounds = _pumping_rounds(tree)
        return Rounds(rounds, tuple(_pumped(tree, rounds)))
    rounds = _recurrence_rounds(tree, tree.scheme)
    return Rounds(rounds, tuple(_recurred(tree, rounds)))


def _pumping_rounds(tree: PurifyNode) -> int:
    """Rounds in a row in which a fresh pair improves the kept one by the same scheme."""
    below = tree.kept
    if isinstance(below, PurifyNode) and below.pumping and below.scheme == tree.scheme:
        return 1 + _pumping_rounds(below)
    return 1


def _recurrence_rounds(tree: Tree, scheme: Scheme) -> int:
    """Rounds of equals at the top of a tree: both pairs of every round have been through the same ones."""
    if not isinstance(tree, PurifyNode) or tree.pumping or tree.scheme != scheme:
        return 0
    return 1 + min(_recurrence_rounds(tree.kept, scheme), _recurrence_rounds(tree.measured, scheme))


def _pumped(tree: Tree, rounds: int) -> Iterator[Tree]:
    if rounds == 0 or not isinstance(tree, PurifyNode):
        yield tree
    else:
        yield from _pumped(tree.kept, rounds - 1)
        yield tree.measured


def _recurred(tree: Tree, rounds: int) -> Iterator[Tree]:
    if rounds == 0 or not isinstance(tree, PurifyNode):
        yield tree
    else:
        yield from _recurred(tree.kept, rounds - 1)
        yield from _recurred(tree.measured, rounds - 1)
