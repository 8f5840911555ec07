"""Files that ask the planner for something: batches of requests, orders of consumption, target graphs.

Owns their keys and the sentences about mistakes in them (file, line, path, nearest key). Refuses plans. The
files are YAML or JSON; a list may stand at the top or under its one key.
"""

from pathlib import Path
from typing import Annotated, TypeVar

from pydantic import Field, ValidationError

from bellwire.core.errors import ConfigError
from bellwire.core.ids import NodeId
from bellwire.core.registry import nearest
from bellwire.labs.document import KeyPath, LabDocument, read_document
from bellwire.labs.problems import LabProblems, ProblemList, add_schema_errors
from bellwire.labs.sections import Count, Positive, Probability, Section
from bellwire.planner.multipartite.graph_target import TargetGraph
from bellwire.planner.requests import Limits, PairRequest
from bellwire.planner.topology import Topology

SomeText = Annotated[str, Field(min_length=1)]


class RequestEntry(Section):
    """One request of a batch. Limits that it does not name are those of the command line."""

    id: SomeText
    source: SomeText = Field(alias="from")
    destination: SomeText = Field(alias="to")
    rate_hz: Positive | None = None  # no more than this is wanted; null: as much as there is
    fidelity: Probability | None = None
    priority: Positive = 1.0  # weight of the request in the objective
    max_age_s: Positive | None = None
    max_leaves: Count | None = None


class RequestsFile(Section):
    """A batch."""

    requests: Annotated[tuple[RequestEntry, ...], Field(min_length=1)]


class PairsFile(Section):
    """Pairs of nodes in the order in which a circuit consumes them."""

    pairs: Annotated[tuple[tuple[SomeText, SomeText], ...], Field(min_length=1)]


class DemandEntry(Section):
    """How often pairs between two nodes are wanted."""

    source: SomeText = Field(alias="from")
    destination: SomeText = Field(alias="to")
    weight: Positive = 1.0  # only proportions count


class DemandFile(Section):
    """Demand ahead of which pairs are to be kept in store."""

    demand: Annotated[tuple[DemandEntry, ...], Field(min_length=1)]


class GraphFile(Section):
    """A target graph: vertices with their nodes, edges between vertices."""

    vertices: dict[str, SomeText]
    edges: tuple[tuple[SomeText, SomeText], ...]


Schema = TypeVar("Schema", bound=Section)


def read_requests(path: Path, topology: Topology, limits: Limits | None = None) -> tuple[PairRequest, ...]:
    """The requests of a batch file. limits: for requests that do not name their own.

    Raises:
        ConfigError: one line `file:line (path.to.key): problem`, and how many more there are.
    """
    limits = Limits() if limits is None else limits
    file, document = _read(path, RequestsFile, "requests file", "a list of requests", "requests")
    problems = ProblemList(document)
    found: list[PairRequest] = []
    seen: dict[str, int] = {}
    for index, entry in enumerate(file.requests):
        place: KeyPath = ("requests", index)
        known = _check_nodes(problems, topology, place, {"from": entry.source, "to": entry.destination})
        if entry.id in seen:
            first = document.line_near(("requests", seen[entry.id]))
            problems.add((*place, "id"), f'two requests are called "{entry.id}", the first on line {first}')
        seen.setdefault(entry.id, index)
        if known and entry.source == entry.destination:
            problems.add(place, f'"{entry.id}": {entry.source} needs no entanglement with itself')
        elif known:
            found.append(_request(entry, limits))
    _raise_first(problems)
    return tuple(found)


def _request(entry: RequestEntry, limits: Limits) -> PairRequest:
    return PairRequest(
        request=entry.id,
        source=entry.source,
        destination=entry.destination,
        limits=Limits(
            age_s=limits.age_s if entry.max_age_s is None else entry.max_age_s,
            leaves=limits.leaves if entry.max_leaves is None else entry.max_leaves,
            fidelity=limits.fidelity if entry.fidelity is None else entry.fidelity,
        ),
        weight=entry.priority,
        rate_hz=entry.rate_hz,
    )


def read_consumption(path: Path, topology: Topology) -> tuple[tuple[NodeId, NodeId], ...]:
    """The pairs of a consumption order.

    Raises:
        ConfigError: one line `file:line (path.to.key): problem`, and how many more there are.
    """
    file, document = _read(path, PairsFile, "consumption file", "a list of pairs of nodes", "pairs")
    problems = ProblemList(document)
    for index, (a, b) in enumerate(file.pairs):
        place: KeyPath = ("pairs", index)
        if _check_nodes(problems, topology, place, {0: a, 1: b}) and a == b:
            problems.add(place, f"{a} needs no entanglement with itself")
    _raise_first(problems)
    return file.pairs


def read_demand(path: Path, topology: Topology) -> tuple[tuple[NodeId, NodeId, float], ...]:
    """(from, to, weight) of a demand file.

    Raises:
        ConfigError: one line `file:line (path.to.key): problem`, and how many more there are.
    """
    file, document = _read(path, DemandFile, "demand file", "a list of pairs of nodes", "demand")
    problems = ProblemList(document)
    for index, entry in enumerate(file.demand):
        place: KeyPath = ("demand", index)
        known = _check_nodes(problems, topology, place, {"from": entry.source, "to": entry.destination})
        if known and entry.source == entry.destination:
            problems.add(place, f"{entry.source} needs no entanglement with itself")
    _raise_first(problems)
    return tuple((entry.source, entry.destination, entry.weight) for entry in file.demand)


def read_target(path: Path, topology: Topology) -> TargetGraph:
    """The target of a graph-state file.

    Raises:
        ConfigError: one line `file:line (path.to.key): problem`, and how many more there are.
    """
    file, document = _read(path, GraphFile, "graph file", "a mapping of vertices and edges", None)
    problems = ProblemList(document)
    _check_nodes(problems, topology, ("vertices",), dict(file.vertices))
    for index, edge in enumerate(file.edges):
        for side, vertex in enumerate(edge):
            if vertex not in file.vertices:
                hint = nearest(vertex, file.vertices)
                problems.add(("edges", index, side), f'unknown vertex "{vertex}"{hint}')
    _raise_first(problems)
    try:
        return TargetGraph(file.vertices, file.edges)
    except ConfigError as wrong:
        raise ConfigError(wrong.problem, where=document.where(())) from None


def _read(
    path: Path, schema: type[Schema], what: str, top: str, list_as: str | None
) -> tuple[Schema, LabDocument]:
    document = read_document(path, what, top, list_as)
    problems = ProblemList(document)
    try:
        return schema.model_validate(document.values), document
    except ValidationError as invalid:
        add_schema_errors(problems, invalid.errors(include_url=False), schema)
        _raise_first(problems)
        raise  # not reached: an invalid file has at least one problem


def _check_nodes(
    problems: ProblemList, topology: Topology, place: KeyPath, names: dict[str, NodeId] | dict[int, NodeId]
) -> bool:
    """Every name is a node; the key of a name is where it stands below `place`."""
    unknown = {key: name for key, name in names.items() if name not in topology.nodes}
    for key, name in unknown.items():
        problems.add((*place, key), f'unknown node "{name}"{nearest(name, topology.nodes)}')
    return not unknown


def _raise_first(problems: ProblemList) -> None:
    """The first problem as one line; `bellwire check`, which lists all, is for lab files."""
    try:
        problems.raise_if_any()
    except LabProblems as found:
        more = len(found.lines) - 1
        raise ConfigError(found.lines[0] + (f" [and {more} more]" if more else "")) from None
