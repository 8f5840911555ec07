"""The methods of `bellwire plan`: what each is for, in one line, and which kind of plan it makes.

Owns the words and the refusal of a method that plans something else. Refuses the methods and their tables.
"""

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Final, Literal

from bellwire.core.errors import ConfigError
from bellwire.core.registry import lookup

Wanted = Literal["pair", "batch", "ghz", "graph"]

KINDS: Final[dict[Wanted, str]] = {
    "pair": "one pair (--from, --to)",
    "batch": "batches (--requests)",
    "ghz": "GHZ states (--ghz)",
    "graph": "graph states (--graph)",
}
"""What methods plan, and by which option it is asked for."""

LINES: Final = {
    "dp": "the fastest tree that keeps all limits, every node sharing itself half and half (default)",
    "dp-usage": "the same with capacity shares in steps of 20 %, whole end nodes; for small networks",
    "balanced": "a quick balanced tree over one good route; for networks of thousands of nodes",
    "route": "the fastest tree over the given --route (default when there is one)",
    "past": "the fastest tree with purification rounds in it; for high --fidelity",
    "caleffi": "a baseline: the best balanced tree over all routes, without waiting times",
    "hop-by-hop": "a baseline: one swap after the other, no tree",
    "iterative": "tree after tree on what the others left: --objective total, fair or priority (default)",
    "levels": "the optimum of a linear programme: --objective total, max_min; --solver highs, cbc",
    "ghz-retain": "fusions at the members only; up to 10 members",
    "ghz-steiner": "fusions anywhere on a tree of links and pairs (default)",
    "ghz-star": "a baseline: a tree of links, node after node fuses all it has",
    "graph-path": "paths, piece after piece by interval programme (default for paths)",
    "graph-tree": "trees, subtree after subtree (default for trees)",
    "graph-lp": "any small graph, the rates of all its parts by a linear programme",
    "graph-pieces": "any graph, from stars and single edges (default for all others)",
}


def methods_by_kind() -> dict[Wanted, dict[str, str]]:
    """All known methods, those of other packages included: kind -> name -> module:function."""
    from bellwire.planner.batch.methods import known_batch_methods
    from bellwire.planner.methods import known_methods
    from bellwire.planner.multipartite.methods import known_ghz_methods, known_graph_methods

    return {
        "pair": known_methods(),
        "batch": known_batch_methods(),
        "ghz": known_ghz_methods(),
        "graph": known_graph_methods(),
    }


def check_method(name: str, wanted: Wanted) -> str:
    """The name, when it plans what is wanted.

    Raises:
        ConfigError: it is unknown (with the nearest known name), or plans something else.
    """
    tables = methods_by_kind()
    for kind, table in tables.items():
        if kind != wanted and name in table and name not in tables[wanted]:
            raise ConfigError(f'method "{name}" plans {KINDS[kind]}, not {KINDS[wanted]}')
    lookup("planning method", name, tables[wanted])
    return name


def method_rows() -> list[dict[str, str]]:
    """Every method as a row: name, what it plans, one line about it."""
    return [
        {"method": name, "plans": KINDS[kind], "description": LINES.get(name) or _first_line(place)}
        for kind, table in methods_by_kind().items()
        for name, place in _own_first(table).items()
    ]


def _own_first(table: Mapping[str, str]) -> dict[str, str]:
    order = {name: index for index, name in enumerate(LINES)}
    return dict(sorted(table.items(), key=lambda each: order.get(each[0], len(order))))


def _first_line(place: str) -> str:
    """What a method of another package says of itself."""
    module, _, function = place.partition(":")
    found: Callable[..., object] = getattr(import_module(module), function)
    return (found.__doc__ or place).strip().splitlines()[0]
