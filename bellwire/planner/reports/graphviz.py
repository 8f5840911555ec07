"""Plans in the language of Graphviz, for those who have `dot` and want to draw them their own way.

Owns the DOT text. Refuses to run anything: svg.py draws without another program.
"""

from collections.abc import Iterator, Sequence
from typing import Final

from bellwire.planner.assessment import PairPlan
from bellwire.planner.batch.batch_plan import BatchPlan
from bellwire.planner.multipartite.values import MultipartitePlan
from bellwire.planner.reports.branches import Branch, Kind, operation_branches, tree_branch
from bellwire.planner.reports.quantities import fidelity_text, rate_text, time_text
from bellwire.planner.topology import Topology

LOOKS: Final[dict[Kind, str]] = {
    "swap": 'style="rounded,filled", fillcolor="#dbeafe", color="#2563eb"',
    "purify": 'style="rounded,filled", fillcolor="#ede9fe", color="#7c3aed"',
    "fuse": 'style="rounded,filled", fillcolor="#dcfce7", color="#15803d"',
    "link": 'style="filled", fillcolor="white", color="#94a3b8"',
    "pair": 'style="filled", fillcolor="white", color="#94a3b8"',
    "stored": 'style="filled,dashed", fillcolor="#fef9c3", color="#a16207"',
}
"""Attributes of a box by what it stands for."""


def pair_dot(plan: PairPlan, topology: Topology) -> str:
    """The tree of a plan for one pair."""
    title = (
        f"{plan.source} to {plan.destination} by {plan.method}: {time_text(plan.latency_s)} per pair, "
        f"fidelity {fidelity_text(plan.fidelity)}"
    )
    return _graph(title, [("", [tree_branch(plan.tree, topology)])])


def batch_dot(plan: BatchPlan, topology: Topology) -> str:
    """The trees of all requests, a frame around those of each."""
    title = f"{len(plan.shares)} requests by {plan.method}: {rate_text(plan.total_rate_hz, ' pairs')}"
    frames = [
        (
            f"{share.request}: {share.source} to {share.destination}, {rate_text(share.rate_hz, ' pairs')}",
            [tree_branch(tree.tree, topology) for tree in share.trees],
        )
        for share in plan.shares
    ]
    return _graph(title, frames)


def state_dot(plan: MultipartitePlan, topology: Topology) -> str:
    """The operations of a plan for a GHZ or graph state, down to the links."""
    title = f"{plan.request} by {plan.method}: {time_text(plan.latency_s)} per state"
    return _graph(title, [("", operation_branches(plan, topology, trees=True))])


def quoted(text: str) -> str:
    """A string of the DOT language. Line breaks become \\n, as labels want them."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


def _graph(title: str, frames: Sequence[tuple[str, Sequence[Branch]]]) -> str:
    numbers = iter(range(1, 1_000_000_000))
    lines = [
        "digraph plan {",
        f"  graph [label={quoted(title)}, labelloc=t, fontname=Helvetica, ranksep=0.4];",
        "  node [shape=box, fontname=Helvetica, fontsize=11];",
        '  edge [dir=back, arrowsize=0.6, color="#64748b"];',
    ]
    for index, (label, branches) in enumerate(frames):
        body = [line for branch in branches for line in _box(branch, numbers)[1]]
        if label:
            lines += [f"  subgraph cluster_{index} {{", f"    label={quoted(label)};", *body, "  }"]
        else:
            lines += body
    return "".join(f"{line}\n" for line in [*lines, "}"])


def _box(branch: Branch, numbers: Iterator[int]) -> tuple[str, list[str]]:
    name = f"step{next(numbers)}"
    fidelity = f", F {branch.fidelity}" if branch.fidelity else ""
    label = f"{branch.title}\n{branch.between}\n{branch.time}{fidelity}"
    lines = [f"    {name} [label={quoted(label)}, {LOOKS[branch.kind]}];"]
    for child in branch.below:
        below, more = _box(child, numbers)
        lines += [*more, f"    {name} -> {below};"]
    return name, lines
