"""Plans as text for people: the tree with its times, and below it what the plan takes.

Owns the layout of plain text. Refuses colours and terminals (cli), and the words of the branches
(branches.py).
"""

from collections.abc import Iterable, Iterator, Sequence

from bellwire.planner.assessment import PairPlan
from bellwire.planner.batch.batch_plan import BatchPlan
from bellwire.planner.capacity import Use
from bellwire.planner.certainty import certainty_of
from bellwire.planner.executable_trees import words_for
from bellwire.planner.multipartite.values import MultipartitePlan
from bellwire.planner.reports.branches import Branch, action_text, operation_branches, tree_branch
from bellwire.planner.reports.plain_values import pair_name
from bellwire.planner.reports.quantities import (
    SHARE_COLUMNS,
    fidelity_text,
    rate_text,
    share_cells,
    share_text,
    time_text,
)
from bellwire.planner.structures import leaves, route_of
from bellwire.planner.topology import Topology


def pair_text(plan: PairPlan, topology: Topology) -> str:
    """A plan for one pair: promises, tree, use."""
    left_s, right_s = plan.ages_s
    lines = [
        f"{plan.source} to {plan.destination} by {plan.method}: {_promises(plan)}",
        *_certainty_lines(plan, topology),
        f"route {' - '.join(route_of(plan.tree))}; a delivered pair is {time_text(left_s)} old at "
        f"{plan.source}, {time_text(right_s)} at {plan.destination}",
        *_request_lines(plan, topology),
        "",
        *drawn([tree_branch(plan.tree, topology)]),
        "",
        *use_lines(plan.use, topology),
    ]
    return _joined(lines)


def _certainty_lines(plan: PairPlan, topology: Topology) -> list[str]:
    """What calibrations of the links leave open; nothing where none was measured."""
    certain = certainty_of(plan, topology)
    said = []
    if certain.rate_hz is not None:
        said.append(f"{rate_text(plan.rate_hz, ' pairs')} ± {rate_text(certain.rate_hz)}")
    if certain.fidelity is not None:
        said.append(f"fidelity {fidelity_text(plan.fidelity)} ± {certain.fidelity:.4f}")
    return [f"by calibrations of its links {' and '.join(said)}"] if said else []


def _request_lines(plan: PairPlan, topology: Topology) -> list[str]:
    """How a plan with rounds of purification is asked for; others need no words of their own."""
    words, why = words_for(plan, topology)
    if words is None:
        return [f"no request can ask for this: {why}; --purification automatic takes what one can"]
    if words.purification is None:
        return []
    return [
        f'bellwire request --mode fixed_tree --tree "{words.tree}" --purification {words.purification} ...'
    ]


def batch_text(plan: BatchPlan, topology: Topology) -> str:
    """A plan for several requests: a table of shares, all trees, use."""
    bound = "" if plan.bound_hz is None else f", optimum of the linear programme {rate_text(plan.bound_hz)}"
    lines = [
        f"{len(plan.shares)} requests by {plan.method} ({plan.objective}): "
        f"{rate_text(plan.total_rate_hz, ' pairs')} in all, least {rate_text(plan.min_rate_hz)}{bound}",
        "",
        *table(
            SHARE_COLUMNS,
            [share_cells(share) for share in plan.shares],
        ),
    ]
    lines += [f"{request}: {how}" for request, how in plan.decided.items()]
    lines += [f"{request} gets nothing: {reason}" for request, reason in plan.unserved.items()]
    for share in plan.shares:
        for index, tree in enumerate(share.trees):
            lines += ["", f"{share.request}, tree {index + 1} of {len(share.trees)}: {_promises(tree)}"]
            lines += drawn([tree_branch(tree.tree, topology)])
    lines += ["", *use_lines(plan.use, topology)]
    return _joined(lines)


def state_text(plan: MultipartitePlan, topology: Topology) -> str:
    """A plan for a GHZ or graph state: promises, members, operations over pairs, use."""
    what = f"GHZ state of {len(plan.members)}" if plan.kind == "ghz" else "graph state"
    lines = [
        f"{what} by {plan.method}: {time_text(plan.latency_s)} per state "
        f"({rate_text(plan.rate_hz, ' states')}), fidelity {fidelity_text(plan.fidelity)}, "
        f"success per round {share_text(plan.success_probability)}",
    ]
    if plan.vertices:
        lines.append("vertices " + ", ".join(f"{vertex} at {node}" for vertex, node in plan.vertices))
        lines.append("edges " + ", ".join(f"{a}-{b}" for a, b in plan.edges))
    else:
        lines.append("members " + ", ".join(plan.members))
    lines += ["", *drawn(operation_branches(plan, topology, trees=True))]
    told = [
        [f"{action_text(each)}, state {each.yields}", ", ".join(each.tell)]
        for each in plan.operations
        if each.tell
    ]
    if told:
        lines += ["", *table(("when this fails", "these must hear of it"), told)]
    lines += ["", *use_lines(plan.use, topology)]
    return _joined(lines)


def use_lines(use: Use, topology: Topology) -> list[str]:
    """What a plan takes of every node and link."""
    nodes = []
    for name in topology.nodes:
        if name not in use.memories and name not in use.attempts_hz:
            continue
        node = topology.nodes[name]
        nodes.append(
            [
                name,
                f"{use.memories.get(name, 0)} of {node.memories}",
                _of(use.attempts_hz.get(name, 0.0), node.attempts_hz),
            ]
        )
    links = [
        [f"{a} - {b}", _of(rate_hz, topology.links[a, b].capacity_hz)]
        for (a, b), rate_hz in sorted(use.links_hz.items())
    ]
    lines = table(("node", "memories", "attempts"), nodes)
    if links:
        lines += ["", *table(("link", "pairs"), links)]
    if use.stored:
        lines += ["", "stored pairs taken: " + ", ".join(pair_name(pair) for pair in use.stored)]
    return lines


def drawn(branches: Sequence[Branch]) -> list[str]:
    """Branches with lines before them and their figures in columns."""
    lines = [line for branch in branches for line in _lines(branch, "", "")]
    widths = [max((len(line[index]) for line in lines), default=0) for index in range(4)]
    return [
        f"{what:<{widths[0]}}  {between:<{widths[1]}}  {time:>{widths[2]}}  {fidelity}".rstrip()
        for what, between, time, fidelity in lines
    ]


def _lines(branch: Branch, first: str, later: str) -> Iterator[tuple[str, str, str, str]]:
    fidelity = f"F {branch.fidelity}" if branch.fidelity else ""
    yield (first + branch.title, branch.between, branch.time, fidelity)
    for index, child in enumerate(branch.below):
        last = index == len(branch.below) - 1
        yield from _lines(child, later + ("└─ " if last else "├─ "), later + ("   " if last else "│  "))


def table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Columns of text under their titles; columns of figures stand to the right."""
    lines = [list(columns), *(list(row) for row in rows)]
    widths = [max(len(line[index]) for line in lines) for index in range(len(columns))]
    right = [all(row[index][:1].isdigit() for row in rows) for index in range(len(columns))]
    return [
        "  ".join(
            cell.rjust(width) if numeric else cell.ljust(width)
            for cell, width, numeric in zip(line, widths, right, strict=True)
        ).rstrip()
        for line in lines
    ]


def _promises(plan: PairPlan) -> str:
    count = sum(1 for _ in leaves(plan.tree))
    return (
        f"{time_text(plan.latency_s)} per pair ({rate_text(plan.rate_hz, ' pairs')}), "
        f"fidelity {fidelity_text(plan.fidelity)}, success per round {share_text(plan.success_probability)}, "
        f"{count} {'leaf' if count == 1 else 'leaves'}"
    )


def _of(rate_hz: float, capacity_hz: float) -> str:
    return f"{rate_text(rate_hz)} of {'any' if capacity_hz == float('inf') else rate_text(capacity_hz)}"


def _joined(lines: Iterable[str]) -> str:
    return "".join(f"{line}\n" for line in lines)
