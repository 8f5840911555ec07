"""What the parts of a machine have counted since their process began, ready for JSON.

Owns the selection for people: links, swaps, fusions, station. Refuses to change or reset a count.
"""

from collections.abc import Iterable, Mapping
from typing import TypedDict

from bellwire.core.machine import Machine
from bellwire.link_layer.station import HeraldingStation
from bellwire.node.machines import QuantumNode, StationMachine


class MachineCounters(TypedDict):
    """Counters of one machine; a role that it does not play has an empty table."""

    links: dict[str, dict[str, int]]  # by incident link: heralds, unusable, unknown, ...
    swaps: dict[str, int]  # tried, succeeded, failed, unknown, ...
    fusions: dict[str, int]  # of GHZ states: the same
    station: dict[str, int]  # reported, no_message_other, ...


def machine_counters(machine: Machine) -> MachineCounters:
    """A copy of the counters of a node or station; all tables are empty for any other machine."""
    if isinstance(machine, QuantumNode):
        links = {name: dict(end.counters) for name, end in machine.links.ends.items()}
        swaps = added((machine.swapping.counters, machine.baselines.counters))
        fusions = dict(machine.fusion.counters)
        return {"links": links, "swaps": swaps, "fusions": fusions, "station": {}}
    if isinstance(machine, StationMachine):
        stations = [part.counters for part in machine.parts if isinstance(part, HeraldingStation)]
        return {"links": {}, "swaps": {}, "fusions": {}, "station": added(stations)}
    return {"links": {}, "swaps": {}, "fusions": {}, "station": {}}


def added(tables: Iterable[Mapping[str, int]]) -> dict[str, int]:
    """The sum of tables, name by name."""
    total: dict[str, int] = {}
    for one in tables:
        for name, count in one.items():
            total[name] = total.get(name, 0) + count
    return total
