"""Node-link JSON as networkx writes it and the collection topohub ships it.

Owns the shape: `nodes` with `id`, edges under `links` or `edges` with `source` and `target`. Refuses the
meaning of keys (attributes.py) and of doubled edges (draft.py).

The length of an edge is `length_km`, or `dist` as in topohub, in km. Places of topohub (`pos`) are degrees
and not used: words are taken to go along the fibre. Its spans are long; span_max_km puts repeaters into them.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final

from bellwire.core.errors import ConfigError
from bellwire.planner.sources.draft import Draft
from bellwire.planner.topology import Topology

EDGES: Final = ("links", "edges")
LENGTH: Final = "dist"
"""Length of an edge in km, in the files of topohub."""


def read_node_link(document: Mapping[str, Any], name: str, span_max_km: float | None = None) -> Topology:
    """The topology of a node-link document that is parsed already.

    name: of the topology, unless `graph` has a `name`. A node is called by its `name`, or else its `id`.
    span_max_km: longer edges are cut into equal pieces with default nodes between; None: they stay.

    Raises:
        ConfigError: a record is missing or wrong; the text names node or edge, key and value.
    """
    draft = Draft(span_max_km)
    for where, node in _records(document, "nodes"):
        key = _key(node, "id", where)
        draft.add_node(key, {each: value for each, value in node.items() if each != "id"})
    for where, edge in _edges(document):
        ends = [_key(edge, end, where) for end in ("source", "target")]
        others = {key: value for key, value in edge.items() if key not in ("source", "target", "key")}
        if LENGTH in others:
            if "length_km" in others:
                raise ConfigError(f"{where}: give length_km or {LENGTH}, not both")
            others = {"length_km": others.pop(LENGTH), **others}
        draft.add_edge(ends[0], ends[1], others, document.get("directed") is True)
    graph = document.get("graph")
    called = graph.get("name") if isinstance(graph, Mapping) else None
    return draft.topology(called if isinstance(called, str) and called else name)


def _edges(document: Mapping[str, Any]) -> Iterable[tuple[str, Mapping[str, Any]]]:
    found = [key for key in EDGES if key in document]
    if len(found) != 1:
        raise ConfigError(
            f"edges must stand under one of {' and '.join(EDGES)}, not under {found or 'neither'}"
        )
    return _records(document, found[0])


def _records(document: Mapping[str, Any], key: str) -> list[tuple[str, Mapping[str, Any]]]:
    found = document.get(key)
    if not isinstance(found, list):
        raise ConfigError(f"{key} must be a list of objects, not {type(found).__name__}")
    for index, each in enumerate(found):
        if not isinstance(each, Mapping):
            raise ConfigError(f"{key}[{index}] = {each!r} must be an object")
    return [(f"{key}[{index}]", each) for index, each in enumerate(found)]


def _key(record: Mapping[str, Any], key: str, where: str) -> str | int:
    value = record.get(key)
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise ConfigError(f"{where}: {key} = {value!r} must be text or a whole number")
    return value
