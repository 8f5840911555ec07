"""What nodes are told and what they give for it, as JSON documents.

Owns the documents of instructions and of use. Refuses trees and promises (document.py).
"""

from collections.abc import Mapping

from bellwire.core.ids import NodeId
from bellwire.planner.capacity import Use
from bellwire.planner.instructions import Expected, NodeInstructions
from bellwire.planner.reports.plain_values import Document, finite, pair_name
from bellwire.planner.topology import Topology


def use_document(use: Use, topology: Topology) -> Document:
    names = sorted({*use.memories, *use.attempts_hz})
    return {
        "links": [
            {
                "ends": list(pair),
                "rate_hz": finite(rate_hz),
                "capacity_hz": finite(topology.links[pair].capacity_hz),
            }
            for pair, rate_hz in sorted(use.links_hz.items())
        ],
        "nodes": [
            {
                "node": name,
                "memories": use.memories.get(name, 0),
                "of_memories": topology.nodes[name].memories,
                "attempts_hz": finite(use.attempts_hz.get(name, 0.0)),
                "of_attempts_hz": finite(topology.nodes[name].attempts_hz),
            }
            for name in names
        ],
        "stored": [pair_name(pair) for pair in use.stored],
    }


def instructions_document(nodes: Mapping[NodeId, NodeInstructions]) -> Document:
    return {name: _node_instructions(told) for name, told in nodes.items()}


def _node_instructions(told: NodeInstructions) -> Document:
    return {
        "swapping": [
            {
                "request": each.request,
                "tree": each.tree,
                "left_partner": each.left_partner,
                "right_partner": each.right_partner,
                **_expected(each.expected),
                "left_pair": each.left_pair,
                "right_pair": each.right_pair,
                "product": each.product,
            }
            for each in told.swapping
        ],
        "fusion": [
            {
                "request": each.request,
                "action": each.operation.action,
                "partners": [list(names) for names in each.partners],
                "consumes": list(each.operation.consumes),
                "trees": [list(trees) for trees in each.trees],
                **_expected(each.expected),
                "product": each.operation.yields,
                "members": list(each.operation.nodes),
                "tell": list(each.operation.tell),
            }
            for each in told.fusion
        ],
        "links": [
            {
                "request": each.request,
                "tree": each.tree,
                "partner": each.partner,
                **_expected(each.expected),
                "product": each.product,
            }
            for each in told.links
        ],
        "stored": [
            {
                "request": each.request,
                "tree": each.tree,
                "partner": each.partner,
                "stored": pair_name(each.pair),
                "product": each.product,
            }
            for each in told.stored
        ],
        "purification": [
            {
                "request": each.request,
                "tree": each.tree,
                "partner": each.partner,
                "rounds": each.rounds,
                "pumping": each.pumping,
                "scheme": each.scheme,
                "inputs": list(each.inputs),
                "product": each.product,
            }
            for each in told.purification
        ],
    }


def _expected(expected: Expected) -> Document:
    return {
        "rate_hz": finite(expected.rate_hz),
        "number": finite(expected.number),
    }
