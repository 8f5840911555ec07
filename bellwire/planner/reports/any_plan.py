"""Every report of every kind of plan: the one door for those who have a plan and want to see it.

Owns the choice by kind. Refuses the reports themselves, which have a file each.
"""

from bellwire.planner.assessment import PairPlan
from bellwire.planner.batch.batch_plan import BatchPlan
from bellwire.planner.multipartite.values import MultipartitePlan
from bellwire.planner.reports.document import batch_document, pair_document, state_document
from bellwire.planner.reports.graphviz import batch_dot, pair_dot, state_dot
from bellwire.planner.reports.plain_values import Document
from bellwire.planner.reports.svg import batch_svg, pair_svg, state_svg
from bellwire.planner.reports.text import batch_text, pair_text, state_text
from bellwire.planner.requests import Options
from bellwire.planner.topology import Topology

Plan = PairPlan | BatchPlan | MultipartitePlan


def document_of(plan: Plan, topology: Topology, options: Options | None = None) -> Document:
    """A plan as plain values for JSON. options: those that it was searched with."""
    match plan:
        case PairPlan():
            return pair_document(plan, topology, options, f"{plan.source}-{plan.destination}")
        case BatchPlan():
            return batch_document(plan, topology, options)
        case MultipartitePlan():
            return state_document(plan, topology, options)


def text_of(plan: Plan, topology: Topology) -> str:
    """A plan as text for people."""
    match plan:
        case PairPlan():
            return pair_text(plan, topology)
        case BatchPlan():
            return batch_text(plan, topology)
        case MultipartitePlan():
            return state_text(plan, topology)


def svg_of(plan: Plan, topology: Topology) -> str:
    """A plan as a picture."""
    match plan:
        case PairPlan():
            return pair_svg(plan, topology)
        case BatchPlan():
            return batch_svg(plan, topology)
        case MultipartitePlan():
            return state_svg(plan, topology)


def dot_of(plan: Plan, topology: Topology) -> str:
    """A plan in the language of Graphviz."""
    match plan:
        case PairPlan():
            return pair_dot(plan, topology)
        case BatchPlan():
            return batch_dot(plan, topology)
        case MultipartitePlan():
            return state_dot(plan, topology)
