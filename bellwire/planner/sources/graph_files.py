"""GraphML and GML files through networkx.

Owns the two formats and what their readers may raise. Refuses the meaning of keys (attributes.py) and of
doubled edges (draft.py).

In GraphML a node is called by its id, in GML by its label, or by its id where it has none; an attribute
`name` wins over both. An edge needs `length_km`; any other key of attributes.py may stand beside it. The name
of the graph is its attribute `name`, or else the name of the file.
"""

import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import ParseError

import networkx as nx

from bellwire.core.errors import ConfigError
from bellwire.planner.sources.attributes import located
from bellwire.planner.sources.draft import Draft
from bellwire.planner.topology import Topology


def read_graphml(path: Path, span_max_km: float | None = None) -> Topology:
    """The topology of a GraphML file.

    span_max_km: longer edges are cut into equal pieces with default nodes between; None: they stay.

    Raises:
        ConfigError: it is no GraphML, or a value is wrong; the text names node or edge, key and value.
    """
    with located(str(path)):
        graph, remarks = _parsed(path, "GraphML")
        return topology_of_graph(graph, path.stem, span_max_km, remarks=remarks)


def read_gml(path: Path, span_max_km: float | None = None) -> Topology:
    """The topology of a GML file; else as `read_graphml`."""
    with located(str(path)):
        graph, remarks = _parsed(path, "GML")
        return topology_of_graph(graph, path.stem, span_max_km, label="label", remarks=remarks)


def topology_of_graph(
    graph: "nx.Graph[Any]",
    name: str,
    span_max_km: float | None = None,
    *,
    label: str | None = None,
    remarks: Iterable[str] = (),
) -> Topology:
    """The topology of a networkx graph, directed or not, whose attributes have the keys of attributes.py.

    label: attribute by which a node is called, where it has one; None: nodes are called by their keys.
    remarks: come first among the notes.

    Raises:
        ConfigError: a value is wrong or missing, or edges are doubled.
    """
    draft = Draft(span_max_km)
    for key, attributes in graph.nodes(data=True):
        others = dict(attributes)
        draft.add_node(key, others, called=None if label is None else others.pop(label, None))
    directed = graph.is_directed()
    for a, b, attributes in graph.edges(data=True):
        draft.add_edge(a, b, _without_edge_key(graph, attributes), directed)
    called = graph.graph.get("name")
    return draft.topology(called if isinstance(called, str) and called else name, *remarks)


def _without_edge_key(graph: "nx.Graph[Any]", attributes: dict[str, object]) -> dict[str, object]:
    # networkx keeps the id of a GraphML edge as its attribute "id": it says nothing, and needs no note.
    return {key: value for key, value in attributes.items() if key != "id"}


def _parsed(path: Path, kind: str) -> "tuple[nx.Graph[Any], tuple[str, ...]]":
    """The graph, and what networkx warned of."""
    try:
        with warnings.catch_warnings(record=True) as heard:
            warnings.simplefilter("always")
            graph = nx.read_graphml(path) if kind == "GraphML" else nx.read_gml(path, label="id")
        return graph, tuple(dict.fromkeys(str(each.message) for each in heard))
    except OSError as error:
        raise ConfigError(f"cannot be read: {error.strerror}") from error
    except (ParseError, nx.NetworkXError, UnicodeDecodeError, ValueError, KeyError, TypeError) as error:
        raise ConfigError(f"is no readable {kind}: {_first_line(error)}") from error


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
