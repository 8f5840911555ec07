"""The map of one node as a document: for people, for programs, and to compare with those of other nodes.

Owns the shape, ready for JSON, and the comparison. Refuses tables (cli/topology_tables.py).
"""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from bellwire.core.ids import NodeId
from bellwire.planner.link_states import latest_verification
from bellwire.planner.network_map import MappedLink, MappedNode, NetworkMap

Document = dict[str, Any]


def map_document(known: NetworkMap, node: NodeId, now_ns: int) -> Document:
    """What a node knows now. Ages instead of times: clocks of computers differ."""
    return {
        "seen_by": node,
        "digest": known.digest(),
        "version": {name: list(mark) for name, mark in known.version().items()},
        "missing": list(known.missing()),
        "nodes": {name: _node(one, now_ns) for name, one in known.nodes.items()},
        "links": {name: _link(one, now_ns) for name, one in sorted(known.links.items())},
    }


def joined_maps(lab: str, names: Sequence[NodeId], maps: Mapping[NodeId, Document]) -> Document:
    """One document of the maps of several agents."""
    # A node that left in order is no trouble as long as everybody knows.
    left = {
        name
        for name in names
        if name not in maps
        and maps
        and all(one["nodes"].get(name, {}).get("state", "left") == "left" for one in maps.values())
    }
    found = disagreements(maps)
    return {
        "lab": lab,
        "agree": not found,
        "disagreements": found,
        "silent": [name for name in names if name not in maps and name not in left],
        "left": sorted(left),
        "digests": {name: one["digest"] for name, one in maps.items()},
        "maps": maps,
    }


def disagreements(maps: Mapping[NodeId, Document]) -> list[str]:
    """Where the maps of several nodes differ, a sentence each; none: they agree."""
    found: list[str] = []
    if len({document["digest"] for document in maps.values()}) > 1:
        found += _differing_versions(maps)
    for kind in ("nodes", "links"):
        names = sorted({name for document in maps.values() for name in document[kind]})
        for name in names:
            by_state: dict[str, list[NodeId]] = {}
            for observer, document in maps.items():
                # A node's opinion of itself is no second opinion: it does not know that it is not heard.
                if name in document[kind] and name != observer:
                    by_state.setdefault(document[kind][name]["state"], []).append(observer)
            if len(by_state) > 1:
                said = ", ".join(f"{state} by {' '.join(who)}" for state, who in sorted(by_state.items()))
                found.append(f"{kind[:-1]} {name} is seen {said}")
    return found


def _differing_versions(maps: Mapping[NodeId, Document]) -> list[str]:
    found: list[str] = []
    authors = sorted({name for document in maps.values() for name in document["nodes"]})
    for author in authors:
        # Where ledgers keep to routes a map has its own region and what that leads to, and no others.
        marks = {
            observer: tuple(document["version"].get(author, ()))
            for observer, document in maps.items()
            if author in document["nodes"]
        }
        newest = max(marks.values(), default=())
        behind = [observer for observer, mark in marks.items() if mark != newest]
        if behind and newest:
            found.append(
                f"{' '.join(behind)} lack{'s' if len(behind) == 1 else ''} announcement {newest[1]} of life "
                f"{newest[0]} of {author}"
            )
    return found


def _node(one: MappedNode, now_ns: int) -> Document:
    told = one.announced
    return {
        "state": one.state,
        "reason": one.reason,
        "since_s": _age_s(now_ns, one.since_ns),
        "incarnation": one.incarnation if told is not None else None,
        "announcement": None if told is None else told.number,
        "role": None if told is None else told.role,
        "relays": None if told is None else told.relays,
        "region": None if told is None else told.region,
        "software": None if told is None else told.software,
        "schema": None if told is None else told.schema,
        "memory": None if told is None else msgspec.to_builtins(told.memory),
        "links": [] if told is None else [claim.link for claim in told.links],
        "agrees": one.agrees,
        "agreed_s": None if one.agrees is None else _age_s(now_ns, one.told_ns),
    }


def _link(one: MappedLink, now_ns: int) -> Document:
    verification = latest_verification(one.claims)
    first = one.claims[min(one.claims)] if one.claims else None
    return {
        "state": one.state,
        "reason": one.reason,
        "since_s": _age_s(now_ns, one.since_ns),
        "nodes": None if first is None else list(first.nodes),
        "station": None if first is None else first.station,
        "claims": {
            name: {
                key: value
                for key, value in msgspec.to_builtins(claim).items()
                if key not in ("link", "verification")
            }
            for name, claim in sorted(one.claims.items())
        },
        "verification": None
        if verification is None
        else {
            **{key: value for key, value in msgspec.to_builtins(verification).items() if key != "at_ns"},
            "age_s": _age_s(now_ns, verification.at_ns),
        },
    }


def _age_s(now_ns: int, at_ns: int) -> float:
    return max(0, now_ns - at_ns) / 1e9
