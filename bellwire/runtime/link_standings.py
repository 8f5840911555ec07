"""What a node can say of the links for which it speaks (those of which it is side 0), ready for JSON.

Owns the selection for people: figures as measured, operating point in force, share of time, who wants pairs,
counters. Refuses to estimate anything: the figures are the link end's own.
"""

from typing import Any

import msgspec

from bellwire.core.machine import Machine
from bellwire.node.machines import QuantumNode


def link_standings(machine: Machine) -> dict[str, dict[str, Any]]:
    """By link: `point` (None: nobody wants the link now), `duty`, `wanted_by`, `figures`, `counters`."""
    if not isinstance(machine, QuantumNode):
        return {}
    return {
        name: {
            "point": end.point_in_force(),
            "duty": end.duty(),
            "wanted_by": sorted({request for request, _ in end.requests}),
            "figures": msgspec.to_builtins(end.figures()),
            "counters": dict(end.counters),
        }
        for name, end in machine.links.ends.items()
        if end.side == 0
    }
