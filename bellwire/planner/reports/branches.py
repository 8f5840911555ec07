"""Trees and operations as branches: the same words for text, Graphviz and SVG.

Owns what is said about each step of a plan. Refuses how it is laid out. A branch says what happens, between
which nodes, how long a pair takes and how good it is when it exists.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final, Literal

from bellwire.planner.assessment import outlook
from bellwire.planner.instructions import rounds_of
from bellwire.planner.multipartite.values import MultipartitePlan, Operation, PairSupply
from bellwire.planner.reports.plain_values import pair_name
from bellwire.planner.reports.quantities import fidelity_text, length_text, time_text
from bellwire.planner.structures import LinkLeaf, PurifyNode, StoredLeaf, SwapNode, Tree, route_of
from bellwire.planner.topology import Topology

Kind = Literal["swap", "link", "stored", "purify", "fuse", "pair"]

ACTIONS: Final = {
    "fuse_retain": "fuse and stay at",
    "fuse_discard": "fuse and leave at",
    "graph_swap": "swap at",
    "measure": "measure at",
    "entangle": "CZ at",
    "rotate": "rotate at",
}
"""What an operation of a multipartite plan does, in words."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Branch:
    """One step of a plan and what it consumes."""

    kind: Kind
    what: str  # for example "swap at relay"
    between: str  # nodes that the product joins
    time: str  # mean time per product
    fidelity: str  # "": not known for this step alone
    below: "tuple[Branch, ...]" = ()
    times: int = 1  # alike branches that this one stands for

    @property
    def title(self) -> str:
        """What happens, and how often side by side."""
        return self.what if self.times == 1 else f"{self.times} × {self.what}"


def tree_branch(tree: Tree, topology: Topology) -> Branch:
    """The branches of a tree."""
    time, fidelity = time_text(tree.latency_s), fidelity_text(outlook(tree, topology).state[0])
    between = f"{tree.left} – {tree.right}"
    match tree:
        case SwapNode():
            return Branch(
                kind="swap",
                what=f"swap at {tree.at}",
                between=between,
                time=time,
                fidelity=fidelity,
                below=(tree_branch(tree.one, topology), tree_branch(tree.other, topology)),
            )
        case LinkLeaf():
            link = topology.link(tree.left, tree.right)
            assert link is not None
            what = f"link, {length_text(link.length_km)}"
            return Branch(kind="link", what=what, between=between, time=time, fidelity=fidelity)
        case StoredLeaf():
            life = f"{time_text(tree.age_s)} old, lives {time_text(tree.life_s)}"
            what = f"stored {pair_name(tree.pair)}, {life}"
            return Branch(kind="stored", what=what, between=between, time="at once", fidelity=fidelity)
        case PurifyNode():
            return Branch(
                kind="purify",
                what=purification_text(tree),
                between=between,
                time=time,
                fidelity=fidelity,
                below=tuple(_inputs(tree, topology)),
            )


def purification_text(tree: PurifyNode) -> str:
    """Rounds, scheme and manner of the rounds at the top of a tree."""
    rounds = rounds_of(tree).rounds
    manner = "pumping" if tree.pumping else "recurrence"
    counted = "1 round" if rounds == 1 else f"{rounds} rounds"
    return f"{counted} of {tree.scheme} ({manner})"


def _inputs(tree: PurifyNode, topology: Topology) -> Iterator[Branch]:
    """The pairs that go into the rounds; alike ones in a row are one branch."""
    known: list[tuple[Tree, int]] = []
    for each in rounds_of(tree).inputs:
        if known and known[-1][0] == each:
            known[-1] = (each, known[-1][1] + 1)
        else:
            known.append((each, 1))
    for each, times in known:
        yield replace(tree_branch(each, topology), times=times)


def operation_branches(plan: MultipartitePlan, topology: Topology, *, trees: bool) -> tuple[Branch, ...]:
    """Operations of a multipartite plan, each above what it consumes; usually there is one at the top.

    trees: with the trees of every pair below it.
    """
    made: dict[int, Branch] = {}
    for number, supply in enumerate(plan.pairs):
        branch = _supply_branch(number, supply)
        if trees:
            below = tuple(tree_branch(tree.tree, topology) for tree in supply.trees)
            branch = replace(branch, below=below)
        made[number] = branch
    for operation in plan.operations:
        made[operation.yields] = Branch(
            kind="fuse",
            what=action_text(operation),
            between=" – ".join(operation.nodes),
            time=time_text(operation.latency_s),
            fidelity="",
            below=tuple(made.pop(state) for state in operation.consumes if state in made),
        )
    return tuple(made.values())


def _supply_branch(number: int, supply: PairSupply) -> Branch:
    inner = route_of(supply.trees[0].tree)[1:-1]
    way = "direct link" if not inner else f"via {', '.join(inner)}"
    more = "" if len(supply.trees) == 1 else f" and {len(supply.trees) - 1} more"
    return Branch(
        kind="pair",
        what=f"pair {number}, {way}{more}",
        between=f"{supply.left} – {supply.right}",
        time=time_text(supply.latency_s),
        fidelity=fidelity_text(supply.fidelity),
    )


def action_text(operation: Operation) -> str:
    """What an operation does and where."""
    return f"{ACTIONS[operation.action]} {operation.node}"
