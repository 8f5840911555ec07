"""The terms of `bellwire request` as one request, refused here where the lab file alone shows what is wrong.

Owns which options go together. Refuses to ask anybody: a request that passes may still find no room.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from bellwire.cli import asking_states
from bellwire.core.errors import ConfigError

if TYPE_CHECKING:
    from bellwire.core.plans import EntanglementRequest, SequencePair
    from bellwire.labs import Lab

DEFAULT_MODE = "swap_asap"


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What a person typed; None: not given."""

    source: str | None
    target: str | None
    ghz: str | None  # members of GHZ states, separated by commas; the request is made at the first
    graph: str | None  # edges of graph states, "a b, b c"; the request is made at the first node named
    mode: str | None
    tree: str | None
    routes_max: int  # routes that serve it side by side, 1..8
    paths: str  # how its path is computed: core/path_words.py
    tuning: Path | None
    purification: str | None
    link_purification: int  # rounds of every link pair, 0..4
    count: int | None
    duration_s: float | None
    deadline_s: float | None
    fidelity_min: float | None
    rate_min_hz: float | None
    measure: bool
    weight: int
    until_cancelled: bool = False
    when_full: Literal["queue", "reject"] = "queue"
    when_unreachable: Literal["wait", "end"] = "wait"
    reserved_only: bool = False
    queue_s: float | None = None  # longest wait in the queue, None: until the deadline
    vertices: str | None = None  # of the graph, "x=a, y=b"; None: edges name nodes
    sequence: str | None = None  # pairs in the order of their consumption, "a b, b c"
    order: Literal["total", "partial", "unknown"] = "total"
    after: str | None = None  # of a partial order, "p1 p3, p2 p3"
    hold_s: float | None = None  # age up to which pairs of the sequence are kept, None: as memories allow


def request_of(terms: Terms, lab: "Lab", request_id: str | None) -> "EntanglementRequest":
    """The request, under a fresh name where none is given.

    Raises:
        ConfigError: options that exclude each other, unknown nodes, or what the lab cannot do.
    """
    from bellwire.core.modes import parse_mode
    from bellwire.core.plans import EntanglementRequest
    from bellwire.core.units import ns_from_s
    from bellwire.planner.offers import best_offer
    from bellwire.planner.plans import IDLE, compute_plan
    from bellwire.planner.sequence_batches import divide, hold_s
    from bellwire.transport.admission import refusal_text
    from bellwire.transport.request_records import fault_of

    ends_by_itself = terms.count is not None or terms.duration_s is not None
    if not (ends_by_itself or terms.until_cancelled or terms.sequence):
        raise ConfigError("give --count, --duration or --until-cancelled, or the request never ends")
    if terms.reserved_only and terms.rate_min_hz is None:
        raise ConfigError("--reserved-only keeps to what --rate reserves: give --rate")
    mode, tree, ends = _way(terms)
    edges = _edges(terms)
    vertices = asking_states.vertices(terms.vertices, terms.graph)
    where = dict(vertices)
    node_edges = tuple((where.get(one, one), where.get(other, other)) for one, other in edges)
    pairs = _sequence(terms)
    members = _members(terms, ends, node_edges or tuple(pair.nodes for pair in pairs))
    _check_names(members, lab)
    parse_mode(mode)
    asked = EntanglementRequest(
        request_id=request_id or _fresh_name(members),
        target_nodes=members,
        entanglement_type="graph" if edges else "bipartite" if terms.ghz is None else "ghz",
        generation_mode=mode,
        count=terms.count,
        duration_ns=None if terms.duration_s is None else ns_from_s(terms.duration_s),
        deadline_ns=None if terms.deadline_s is None else ns_from_s(terms.deadline_s),
        fidelity_threshold=terms.fidelity_min,
        rate_threshold_hz=terms.rate_min_hz,
        reserved_only=terms.reserved_only,
        priority=terms.weight,
        consumption="measure" if terms.measure else "keep",
        tree=tree,
        routes_max=terms.routes_max,
        paths=terms.paths,
        purification=terms.purification,
        link_purification=terms.link_purification,
        edges=edges,
        vertices=vertices,
        until_cancelled=terms.until_cancelled,
        when_full=terms.when_full,
        when_unreachable=terms.when_unreachable,
        queue_ns=None if terms.queue_s is None else ns_from_s(terms.queue_s),
        entanglement_sequence=pairs,
        sequence_order=terms.order,
        sequence_after=asking_states.pairs_of_words(terms.after, "--after", "order", "pairs"),
        hold_ns=None if terms.hold_s is None else ns_from_s(terms.hold_s),
    )
    fault = fault_of(asked, lab.network, members[0])
    if fault is not None:
        raise ConfigError(fault, where=lab.name)
    if asked.entanglement_sequence:
        batches = divide(lab.network, asked, hold_s(lab.network, asked), ())
        if isinstance(batches, str):
            raise ConfigError(batches, where=lab.name)
        return asked
    plan = compute_plan(lab.network, asked, 1)
    if isinstance(plan, str):
        raise ConfigError(refusal_text(plan, best_offer(lab.network, asked, IDLE)), where=lab.name)
    return asked


def rounds_planned(asked: "EntanglementRequest", lab: "Lab") -> str | None:
    """Rounds between distant nodes that a plan by the lab file names, as requests write them; None: none."""
    from bellwire.planner.distant_rounds import rounds_named
    from bellwire.planner.plans import compute_plan

    if asked.purification is None:
        return None
    plan = compute_plan(lab.network, asked, 1)
    return None if isinstance(plan, str) else rounds_named(plan)


def _way(terms: Terms) -> tuple[str, str | None, tuple[str, str] | None]:
    """Mode, tree, and the two ends of a tuning file's route."""
    from bellwire.labs.tunings import read_tuning

    if terms.tuning is None:
        return terms.mode or DEFAULT_MODE, terms.tree, None
    options = ("--mode", terms.mode), ("--tree", terms.tree), ("--ghz", terms.ghz), ("--graph", terms.graph)
    for option, given in options:
        if given is not None:
            raise ConfigError(f"--tuning says mode, tree and route of pairs: leave out {option}")
    tuning = read_tuning(terms.tuning)
    return tuning.mode, tuning.tree, (tuning.route[0], tuning.route[-1])


def _edges(terms: Terms) -> tuple[tuple[str, str], ...]:
    """Edges of the wanted graph states; none: no graph state is wanted."""
    if terms.graph is None:
        return ()
    if terms.ghz is not None:
        raise ConfigError("--ghz and --graph are two kinds of states; give one")
    return asking_states.pairs_of_words(terms.graph, "--graph", "edge", "nodes")


def _sequence(terms: Terms) -> "tuple[SequencePair, ...]":
    """Pairs in the order of their consumption, called p1, p2 and so on."""
    from bellwire.core.plans import SequencePair

    pairs = asking_states.pairs_of_words(terms.sequence, "--sequence", "pair", "nodes")
    if not pairs:
        lonely = [("--order", terms.order != "total"), ("--after", terms.after), ("--hold", terms.hold_s)]
        for option, given in lonely:
            if given:
                raise ConfigError(f"{option} goes with --sequence")
    elif terms.ghz is not None or terms.graph is not None or terms.target is not None:
        raise ConfigError("--sequence names its pairs: leave out --to, --ghz and --graph")
    return tuple(SequencePair(pair_id=f"p{n}", nodes=nodes) for n, nodes in enumerate(pairs, start=1))


def _members(
    terms: Terms, ends: tuple[str, str] | None, edges: tuple[tuple[str, str], ...]
) -> tuple[str, ...]:
    if terms.sequence is not None:
        return tuple(dict.fromkeys((terms.source or edges[0][0], *(node for edge in edges for node in edge))))
    if terms.ghz is not None or edges:
        option, kind = ("--graph", "graph") if edges else ("--ghz", "GHZ")
        if terms.source is not None or terms.target is not None:
            raise ConfigError(
                f"{option} names all members, the first makes the request: leave out --from and --to"
            )
        if terms.purification is not None:
            raise ConfigError(f"--purification is for pairs: leave it out for {kind} states")
        if terms.rate_min_hz is not None:
            raise ConfigError(f"--rate reserves lanes for pairs: leave it out for {kind} states")
    if edges:
        return tuple(dict.fromkeys(node for edge in edges for node in edge))
    if terms.ghz is not None:
        members = tuple(name.strip() for name in terms.ghz.split(","))
        if len(members) < 3:
            raise ConfigError(
                f"--ghz names {len(members)} members; a GHZ state has three or more: --ghz A,B,C"
            )
        return members
    source = terms.source or (ends[0] if ends else None)
    target = terms.target or (ends[1] if ends else None)
    if source is None or target is None:
        raise ConfigError(
            "name both ends of the pairs, --from NODE --to NODE, or members of GHZ states, --ghz, or edges "
            "of graph states, --graph"
        )
    if ends is not None and (source, target) != ends:
        raise ConfigError(
            f"the route leads from {ends[0]} to {ends[1]}, not from {source} to {target}: tune another route",
            where=str(terms.tuning),
        )
    return source, target


def _check_names(members: tuple[str, ...], lab: "Lab") -> None:
    from bellwire.core.registry import nearest

    known = [name for name, node in lab.network.nodes.items() if node.role != "station"]
    for name in members:
        if name not in known:
            raise ConfigError(f'no node "{name}" in the lab{nearest(name, known)}', where=lab.name)


def _fresh_name(members: tuple[str, ...]) -> str:
    import secrets

    return f"{'-'.join(members)}-{secrets.token_hex(3)}"
