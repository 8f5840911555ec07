"""A topology in the making: nodes and edges as a file lists them, joined to one checked value.

Owns what every format of a plain graph shares: names, doubled edges, loops, spans that are too long, and the
notes about what was not used. Refuses formats.

Entanglement has no direction, and a plan knows at most one link between two nodes:

- a directed edge is a link; two opposite ones are one link if they say the same, and an error if not;
- parallel edges of one direction are an error, to be written as one edge with `channels`;
- an edge from a node to itself is an error.
"""

import math
from collections import Counter
from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import Any

from bellwire.core.errors import ConfigError
from bellwire.core.registry import nearest
from bellwire.planner.sources.attributes import (
    LENGTH_READERS,
    LINK_READERS,
    Attributes,
    node_of,
    read_attributes,
)
from bellwire.planner.topology import Link, Node, Pair, Topology, link_between, pair_of

LONG_KM = 100.0
"""Of a link longer than this the notes say that hardly any photon passes it (e_t^2 = exp(-5) at 20 km)."""

OF_THE_WHOLE_SPAN = ("success_probability", "attempt_s", "sender")
"""Properties that say nothing about a piece of the span that they were given for."""


@dataclass(slots=True)
class Draft:
    """Nodes and edges so far. span_max_km: longer edges are cut into equal pieces, default nodes between."""

    span_max_km: float | None = None
    nodes: dict[Hashable, Node] = field(default_factory=dict[Hashable, Node])  # by key of the file
    inserted: list[Node] = field(default_factory=list[Node])
    links: list[Link] = field(default_factory=list[Link])
    cut: int = 0  # edges that were cut
    _names: set[str] = field(default_factory=set[str])
    _ways: set[Pair] = field(default_factory=set[Pair])  # ends of edges in the direction of the file
    _seen: dict[Pair, dict[str, Any]] = field(default_factory=dict[Pair, dict[str, Any]])
    _unused: Counter[str] = field(default_factory=Counter[str])

    def __post_init__(self) -> None:
        if self.span_max_km is not None and not 0.0 < self.span_max_km < math.inf:
            raise ConfigError(f"span_max_km = {self.span_max_km:g} must be a finite number above 0")

    def add_node(self, key: Hashable, attributes: Attributes, called: object = None) -> None:
        """One node. key: what edges call it. called: its name; None: the key. An attribute `name` wins.

        Raises:
            ConfigError: the key or the name came before, or a property is wrong.
        """
        node, unknown = node_of(str(key if called is None else called), attributes)
        if key in self.nodes or node.name in self._names:
            raise ConfigError(f'two nodes are called "{node.name}"')
        self.nodes[key] = node
        self._names.add(node.name)
        self._unused.update(f'node attribute "{each}"' for each in unknown)

    def add_edge(self, from_key: Hashable, to_key: Hashable, attributes: Attributes, directed: bool) -> None:
        """One edge between nodes that were added. Without direction it never meets an opposite of itself.

        Raises:
            ConfigError: a property is wrong or missing, or the edge cannot stand beside the others.
        """
        a, b = self._end(from_key), self._end(to_key)
        what = f"edge {a.name}-{b.name}"
        if a.name == b.name:
            raise ConfigError(f"{what}: a link joins two different nodes: remove the loop")
        found, unknown = read_attributes(attributes, {**LENGTH_READERS, **LINK_READERS}, what)
        if "length_km" not in found:
            raise ConfigError(f"{what}: length_km is missing")
        way = (a.name, b.name)
        before = self._seen.get(pair_of(*way))
        if way in self._ways or (before is not None and not directed):
            raise ConfigError(f"{what}: two edges join these nodes: write one, with channels = 2")
        self._ways.add(way)
        if before is not None:
            if before != found:
                raise ConfigError(f"{what}: differs from the edge in the other direction: a link has none")
            return
        self._seen[pair_of(*way)] = found
        self._unused.update(f'edge attribute "{each}"' for each in unknown)
        self._lay(a, b, found, what)

    def topology(self, name: str, *notes: str) -> Topology:
        """The finished value. notes: remarks of the reader, put before our own.

        Raises:
            ConfigError: there is no node, or two have one name.
        """
        if not self.nodes:
            raise ConfigError("there is no node in it")
        remarks = list(notes)
        if self.cut:
            remarks.append(
                f"{self.cut} edges over {self.span_max_km:g} km cut by {len(self.inserted)} repeaters"
            )
        long = sum(link.length_km > LONG_KM for link in self.links)
        if long:
            remarks.append(
                f"{long} links are longer than {LONG_KM:g} km: span_max_km puts repeaters into them"
            )
        remarks.extend(f"not used: {what} ({count})" for what, count in self._unused.items())
        nodes = (*self.nodes.values(), *self.inserted)
        return Topology.of(nodes, self.links, name=name, notes=tuple(remarks))

    def _end(self, key: Hashable) -> Node:
        node = self.nodes.get(key)
        if node is None:
            raise ConfigError(
                f'an edge ends at "{key}", which is no node{nearest(str(key), map(str, self.nodes))}'
            )
        return node

    def _lay(self, a: Node, b: Node, found: dict[str, Any], what: str) -> None:
        """The link of one edge, or the chain of links that it is cut into."""
        fields = dict(found)
        length_km: float = fields.pop("length_km")
        link = link_between(a, b, length_km, **fields)  # checks the values, also those of a span to be cut
        if self.span_max_km is None or length_km <= self.span_max_km:
            self.links.append(link)
            return
        for key in OF_THE_WHOLE_SPAN:
            if key in fields:
                raise ConfigError(
                    f"{what}: {key} is given for {length_km:g} km, which span_max_km = "
                    f"{self.span_max_km:g} cuts: leave it out, or raise the limit"
                )
        pieces = math.ceil(length_km / self.span_max_km)
        self.cut += 1
        between = [
            Node(name=f"{a.name}~{b.name}.{index}", position_km=_along(a, b, index / pieces))
            for index in range(1, pieces)
        ]
        self.inserted.extend(between)
        chain = [a, *between, b]
        name: str | None = fields.pop("link", None)
        for index in range(pieces):
            self.links.append(
                link_between(
                    chain[index],
                    chain[index + 1],
                    length_km / pieces,
                    link=None if name is None else f"{name}.{index + 1}",
                    **fields,
                )
            )


def _along(a: Node, b: Node, share: float) -> tuple[float, float] | None:
    if a.position_km is None or b.position_km is None:
        return None
    (ax, ay), (bx, by) = a.position_km, b.position_km
    return (ax + share * (bx - ax), ay + share * (by - ay))
