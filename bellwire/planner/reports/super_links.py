"""Super-links chosen for some demand, as text and as a document.

Owns `SuperLinkChoice` and its reports. Refuses the choice (predistribution_greedy.py and its neighbours).
"""

from dataclasses import dataclass

from bellwire.planner.predistribution import Demand, SuperLink
from bellwire.planner.predistribution_greedy import Chosen
from bellwire.planner.reports.plain_values import Document
from bellwire.planner.reports.quantities import time_text
from bellwire.planner.reports.text import table


@dataclass(frozen=True, slots=True)
class SuperLinkChoice:
    """What was asked and what was chosen."""

    demands: tuple[Demand, ...]
    chosen: Chosen


def choice_document(choice: SuperLinkChoice) -> Document:
    """Latencies in seconds; costs in link attempts per pair."""
    chosen = choice.chosen
    return {
        "kind": "predistribution",
        "method": chosen.method,
        "budget_attempts": chosen.budget_attempts,
        "cost_attempts": chosen.cost,
        "total_latency_s": chosen.total_s,
        "total_latency_without_s": chosen.total_plain_s,
        "super_links": [
            {
                "nodes": [each.left, each.right],
                "route": list(each.route),
                "tree": each.text,
                "cost_attempts": each.cost,
                "latency_s": each.latency_s,
            }
            for each in chosen.super_links
        ],
        "demand": [
            {
                "from": demand.source,
                "to": demand.destination,
                "weight": demand.weight,
                "super_link": None if taken is None else [taken.left, taken.right],
                "latency_s": latency_s,
                "latency_without_s": plain_s,
            }
            for demand, taken, latency_s, plain_s in zip(
                choice.demands, chosen.taken, chosen.latency_s, chosen.plain_s, strict=True
            )
        ],
    }


def choice_text(choice: SuperLinkChoice) -> str:
    """A row for each super-link, and one for each demand."""
    chosen = choice.chosen
    kept = [
        [_ends(each), " ".join(each.route), f"{each.cost:.0f}", time_text(each.latency_s)]
        for each in chosen.super_links
    ]
    served = [
        [
            f"{demand.source} - {demand.destination}",
            f"{demand.weight:g}",
            time_text(plain_s),
            time_text(latency_s),
            "none" if taken is None else _ends(taken),
        ]
        for demand, taken, latency_s, plain_s in zip(
            choice.demands, chosen.taken, chosen.latency_s, chosen.plain_s, strict=True
        )
    ]
    lines = [
        f"{len(kept)} super-links ({chosen.method}): {chosen.cost:.0f} of {chosen.budget_attempts:.0f} link "
        f"attempts, mean latency {time_text(_mean_s(choice, chosen.total_plain_s))} -> "
        f"{time_text(_mean_s(choice, chosen.total_s))} by weight",
        "",
        *table(("in store", "route", "attempts", "made in"), kept),
        "",
        *table(("demand", "weight", "without", "with", "through"), served),
    ]
    return "".join(f"{line}\n" for line in lines)


def _ends(each: SuperLink) -> str:
    return f"{each.left} - {each.right}"


def _mean_s(choice: SuperLinkChoice, total_s: float) -> float:
    return total_s / sum(demand.weight for demand in choice.demands)
