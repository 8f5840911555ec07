"""From the name of a file, or a line of text, to a topology.

Owns the choice of a reader by suffix and content, what cannot be read at all, and the text form of random
networks. Refuses formats, which have a file each, and lab files, which stand a floor higher.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from bellwire.core.errors import ConfigError
from bellwire.core.registry import lookup
from bellwire.planner.sources.attributes import NODE_READERS, Reader, a_number, a_whole_number, located
from bellwire.planner.sources.graph_files import read_gml, read_graphml
from bellwire.planner.sources.sequence_json import read_sequence
from bellwire.planner.sources.topohub_json import EDGES, read_node_link
from bellwire.planner.sources.waxman import waxman
from bellwire.planner.topology import Node, Topology

SEQUENCE_KEYS: Final = frozenset(("qconnections", "qchannels", "cconnections", "cchannels"))
"""A JSON file with one of these is one of SeQUeNCe."""

WAXMAN: Final = "waxman"


def read_topology(path: str | Path, span_max_km: float | None = None) -> Topology:
    """The topology of a .graphml, .gml or .json file (SeQUeNCe, or node-link as of topohub).

    span_max_km: longer edges of plain graphs are cut into equal pieces with default nodes between; None: they
    stay.

    Raises:
        ConfigError: there is no such file, nobody reads it, or something in it is wrong; `where` is the path.
    """
    path = Path(path)
    with located(str(path)):
        reader = READERS.get(path.suffix.lower())
        if reader is None:
            raise ConfigError(f'unknown suffix "{path.suffix}": a topology is read from {", ".join(READERS)}')
        return reader(path, span_max_km)


def read_json(path: Path, span_max_km: float | None = None) -> Topology:
    """The topology of a JSON file of either kind.

    Raises:
        ConfigError: as for `read_topology`; also where a file of SeQUeNCe, which names every repeater itself,
        is to be cut into spans.
    """
    try:
        document: Any = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"is no readable JSON: {error}") from error
    if not isinstance(document, dict):
        raise ConfigError(f"must be a JSON object, not {type(document).__name__}")
    if SEQUENCE_KEYS & document.keys():
        if span_max_km is not None:
            raise ConfigError(
                "span_max_km is for plain graphs: a file of SeQUeNCe names every repeater itself"
            )
        return read_sequence(document, path.stem)
    if any(key in document for key in EDGES):
        return read_node_link(document, path.stem, span_max_km)
    raise ConfigError(
        f"has neither {' nor '.join(sorted(SEQUENCE_KEYS))} (a network of SeQUeNCe) "
        f"nor {' nor '.join(EDGES)} (a node-link graph)"
    )


READERS: Final[dict[str, Callable[[Path, float | None], Topology]]] = {
    ".graphml": read_graphml,
    ".gml": read_gml,
    ".json": read_json,
}
"""By suffix, in small letters."""


SPEC_READERS: Final[dict[str, Reader]] = {
    "nodes": a_whole_number,
    "density": a_number,
    "side_km": a_number,
    "seed": a_whole_number,
    "beta": a_number,
    "attenuation_length_km": a_number,
    "channels": a_whole_number,
    "fidelity": a_number,
}
"""Parameters of `waxman` in a text."""


def parse_waxman(text: str) -> Topology:
    """The random network of a text: `waxman`, or `waxman:nodes=50,density=0.1,side_km=100,seed=3`.

    Besides the parameters of `waxman`, every scalar field of Node may be given, for all nodes alike.

    Raises:
        ConfigError: the text is not of this form, or a value is wrong.
    """
    kind, colon, listed = text.partition(":")
    with located(text):
        if kind.strip() != WAXMAN or (colon and not listed.strip()):
            raise ConfigError(
                f"is no random network: write {WAXMAN}, or {WAXMAN}:nodes=50,density=0.1,seed=3"
            )
        values: dict[str, Any] = {}
        fields: dict[str, Any] = {}
        for entry in listed.split(",") if colon else ():
            key, equals, value = (each.strip() for each in entry.partition("="))
            if not equals:
                raise ConfigError(f'"{entry}" must have the form name=value')
            if key in values or key in fields:
                raise ConfigError(f"{key} is given twice")
            reader = lookup("parameter of a random network", key, {**SPEC_READERS, **NODE_PARAMETERS})
            (values if key in SPEC_READERS else fields)[key] = _read(reader, key, value)
        return waxman(**values, node=Node(name="any", **fields))


NODE_PARAMETERS: Final[dict[str, Reader]] = {
    key: reader for key, reader in NODE_READERS.items() if reader in (a_number, a_whole_number)
}
"""Scalar properties of nodes."""


def _read(reader: Reader, key: str, text: str) -> Any:
    try:
        return reader(float(text))
    except ValueError:
        wanted = "a whole number" if reader is a_whole_number else "a number"
        raise ConfigError(f'{key} = "{text}" must be {wanted}') from None
