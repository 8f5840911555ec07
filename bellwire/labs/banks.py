"""Which memory slots a link may use at each end, and the turns of links that share them.

Owns the numbering of slots (lanes with slots of their own, banks), and which links take turns, how long and
how many. Refuses the choice of turns, which nodes make by themselves (link_layer/arbiter.py).
"""

from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple

import msgspec

from bellwire.core.ids import LinkId, NodeId
from bellwire.core.settings import LinkSettings, NetworkSettings
from bellwire.core.units import NS_PER_US
from bellwire.labs.architectures import attempt_times
from bellwire.labs.models import LabFile
from bellwire.labs.optics import attempt_period_ns
from bellwire.labs.problems import ProblemList
from bellwire.link_layer.arbiter import coloured, turns_needed

TURNS_EACH: Final = 4
"""Home turns of a link in a cycle where the file gives no number: shares are kept to a twelfth of three
links' memories."""


class Places(NamedTuple):
    """The slots of a lab."""

    slots: dict[LinkId, tuple[tuple[int, ...], tuple[int, ...]]]  # that a link may use at each end
    shared: dict[LinkId, tuple[bool, bool]]  # the end's slots are a bank
    sizes: dict[NodeId, int]  # slots of each node


def places_of(file: LabFile) -> Places:
    """Slots are numbered node by node, over its incident links in file order; a bank is numbered once."""
    sizes = {name: node.memory.bank or 0 for name, node in file.nodes.items()}
    slots: dict[LinkId, tuple[tuple[int, ...], tuple[int, ...]]] = {}
    shared: dict[LinkId, tuple[bool, bool]] = {}
    for name, link in file.links.items():
        ends: list[tuple[int, ...]] = []
        for node in link.nodes:
            bank = file.nodes[node].memory.bank
            if bank is None:
                ends.append(tuple(range(sizes[node], sizes[node] + link.lanes)))
                sizes[node] += link.lanes
            else:
                ends.append(tuple(range(bank)))
        slots[name] = (ends[0], ends[1])
        one, other = (file.nodes[node].memory.bank is not None for node in link.nodes)
        shared[name] = (one, other)
    return Places(slots, shared, sizes)


def turn_taking(file: LabFile) -> frozenset[LinkId]:
    """Links that share a bank or an emitter with another link at one of their ends."""
    found: set[LinkId] = set()
    for name, node in file.nodes.items():
        incident = [link for link, one in file.links.items() if name in one.nodes]
        if len(incident) > 1 and (node.memory.bank is not None or node.memory.emitters is not None):
            found.update(incident)
    return frozenset(found)


def with_turns(file: LabFile, network: NetworkSettings) -> NetworkSettings:
    """The network with the turns of all links that share memories or emitters."""
    taking = turn_taking(file)
    if not taking or file.limits.turn_ms == 0.0:
        return network
    turn_ns = round(file.limits.turn_ms * 1e6)
    network = _changed(network, {name: {"turn_ns": turn_ns} for name in taking})
    turns = file.limits.turns or TURNS_EACH * turns_needed(network)
    return _changed(
        network,
        {
            name: {"turns": turns, "turn_guard_ns": _guard_ns(file, network, network.links[name])}
            for name in taking
        },
    )


def _changed(network: NetworkSettings, changes: Mapping[LinkId, Mapping[str, int]]) -> NetworkSettings:
    links = {
        name: msgspec.structs.replace(link, **changes.get(name, {})) for name, link in network.links.items()
    }
    return msgspec.structs.replace(network, links=links)


def _guard_ns(file: LabFile, network: NetworkSettings, link: LinkSettings) -> int:
    """The guard of the file, and what a station's report needs longer than the herald itself."""
    return round(file.limits.turn_guard_ms * 1e6) + late_report_ns(network, link)


def late_report_ns(network: NetworkSettings, link: LinkSettings) -> int:
    """How much longer than the herald itself the report of a link's station may need; 0 without one."""
    late_ns = 0
    if link.station is not None:
        late_ns = max(
            network.delay_ns(link.station, node) - herald_ns
            for node, herald_ns in zip(link.nodes, link.herald_delay_ns, strict=True)
        )
    return max(0, late_ns)


def check_banks(lab: LabFile, problems: ProblemList) -> None:
    """Problems of banks and turns that need more than one section to be seen."""
    for name, link in lab.links.items():
        for node in link.nodes:
            bank = lab.nodes[node].memory.bank if node in lab.nodes else None
            if bank is not None and link.lanes > bank:
                problems.add(
                    ("links", name, "lanes"), f"{link.lanes} lanes, but the bank of {node} has {bank} slots"
                )
    if lab.limits.turn_ms == 0.0:
        return
    for name in sorted(turn_taking(lab)):
        needed_us = _needed_us(lab, name)
        if needed_us is not None and lab.limits.turn_ms * 1e3 < needed_us:
            problems.add(
                ("limits", "turn_ms"),
                f"link {name} takes turns, and an attempt with its herald and turn_guard_ms needs "
                f"{needed_us / 1e3:g} ms; a turn has {lab.limits.turn_ms:g} ms",
            )
    least = 1 + max(
        coloured({name: set(_beside(lab, name)) for name in turn_taking(lab)}).values(), default=0
    )
    if lab.limits.turns is not None and lab.limits.turns < least:
        problems.add(
            ("limits", "turns"),
            f"{least} links may need turns of their own beside each other; a cycle of {lab.limits.turns} has "
            f"none for some of them, give at least {least}",
        )


def _needed_us(lab: LabFile, name: LinkId) -> float | None:
    """Least length of a turn, None: the link's own section has problems."""
    link = lab.links[name]
    if link.attempt is not None:
        return 2 * link.attempt.period_us + lab.limits.turn_guard_ms * 1e3
    if link.fibre_km is None or any(node not in lab.nodes for node in link.nodes):
        return None
    click_ns, herald_ns = attempt_times(link)
    period_ns = attempt_period_ns(lab, link)
    return (period_ns + click_ns + max(herald_ns)) / NS_PER_US + lab.limits.turn_guard_ms * 1e3


def _beside(lab: LabFile, name: LinkId) -> Iterator[LinkId]:
    """Links that share a bank or an emitter with this one at either end."""
    for node in lab.links[name].nodes:
        memory = lab.nodes[node].memory if node in lab.nodes else None
        if memory is not None and (memory.bank is not None or memory.emitters is not None):
            yield from (other for other, one in lab.links.items() if other != name and node in one.nodes)
