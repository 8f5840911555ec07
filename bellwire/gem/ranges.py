"""Ranges of a fact's numbers: what the types of the words cannot say.

Owns one check, used on facts from the wire. Refuses meaning and ownership (`replica.py`).
"""

from bellwire.core.bell import COST_MAX, Cost
from bellwire.core.facts import Born, Corrected, Fact, Fused, Sacrificed, Swapped, Verdict


def fault_of(fact: Fact) -> str | None:
    """What is out of range in a fact, as the end of a sentence; None when nothing is.

    Costs and rates below zero would let a chain gain fidelity by waiting, and saturation depend on order.
    """
    if isinstance(fact, Born):
        if not 0 <= fact.frame <= 3:
            return f"names frame {fact.frame}, which is not 0..3"
        return _state_fault(fact.signs, fact.cost) or _cost_fault("rates", fact.rates)
    if isinstance(fact, Swapped):
        if not 0 <= fact.outcome <= 3:
            return f"names outcome {fact.outcome}, which is not 0..3"
        if fact.left == fact.right:
            return f"measures {fact.left} with itself"
        return _state_fault(fact.signs, fact.cost)
    if isinstance(fact, Fused):
        if not 0 <= fact.bit <= 1:
            return f"names bit {fact.bit}, which is neither 0 nor 1"
        if fact.kept == fact.measured:
            return f"fuses {fact.kept} with itself"
        mixed = (fact.mixed_cost, fact.mixed_cost, fact.mixed_cost)
        return (
            _cost_fault("kept_cost", fact.kept_cost)
            or _cost_fault("measured_cost", fact.measured_cost)
            or _cost_fault("mixed_cost", mixed)
        )
    if isinstance(fact, Sacrificed):
        if fact.end == fact.kept:
            return f"sacrifices {fact.end} for itself"
        return None if fact.bit in (None, 0, 1) else f"names bit {fact.bit}, which is neither 0 nor 1"
    if isinstance(fact, Verdict):
        if not (0 <= fact.frame <= 3 and 0 <= fact.signs <= 7):
            return f"names frame {fact.frame} and signs {fact.signs}, which are not 0..3 and 0..7"
        if fact.rounds < 1:
            return f"names {fact.rounds} rounds, and a verdict is about at least one"
        return _cost_fault("cost", (abs(fact.cost[0]), abs(fact.cost[1]), abs(fact.cost[2])))
    if isinstance(fact, Corrected):
        return None if 0 <= fact.pauli <= 3 else f"names Pauli {fact.pauli}, which is not 0..3"
    return None


def _state_fault(signs: int, cost: Cost) -> str | None:
    return _cost_fault("cost", cost) if 0 <= signs <= 7 else f"has signs {signs}, which are not 0..7"


def _cost_fault(name: str, cost: Cost) -> str | None:
    return None if min(cost) >= 0 and max(cost) <= COST_MAX else f"has {name} {cost} outside 0..{COST_MAX}"
