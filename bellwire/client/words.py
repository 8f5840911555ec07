"""The words of the northbound API, version 1: what is asked and what is answered, as pydantic models.

Owns the fields, their units and their bounds; the server answers with these very classes, so that both sides
cannot drift apart. Refuses every other room of bellwire. What is sent to a server may have no unknown fields;
what comes from one may, because a server may be newer than its client.
"""

from datetime import datetime
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

Role = Literal["viewer", "operator", "admin"]
Status = Literal["in_progress", "suspended", "completed", "failed"]

NAME_PATTERN: Final = r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$"
REQUEST_ID_PATTERN: Final = r"^[A-Za-z0-9][A-Za-z0-9_.:-]{0,127}$"
INTEGER_MAX: Final = (1 << 53) - 1
"""Larger integers are not the same in every JSON parser."""
SECONDS_MAX: Final = 31_536_000.0
"""One year."""
SUSPENSION_MAX_S: Final = 604_800.0
"""A week."""

NodeName = Annotated[str, StringConstraints(pattern=NAME_PATTERN)]
RequestName = Annotated[str, StringConstraints(pattern=REQUEST_ID_PATTERN)]
Seconds = Annotated[float, Field(ge=1e-6, le=SECONDS_MAX, allow_inf_nan=False)]
Number = Annotated[int, Field(ge=0, le=INTEGER_MAX)]
Edge = tuple[NodeName, NodeName]
PairName = Annotated[str, StringConstraints(min_length=1, max_length=64)]


class Asked(BaseModel):
    """Base of what a client sends: strict, and nothing unknown in it."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Told(BaseModel):
    """Base of what a server answers; fields of newer servers are passed over."""

    model_config = ConfigDict(extra="ignore", frozen=True)


# ---- requests


class SequencePair(Asked):
    """One pair of an entanglement sequence, as a distributed circuit consumes it."""

    pair_id: PairName = Field(description="Names it within its sequence.")
    nodes: Edge = Field(description="The first one gives it away.")


class RequestTerms(Asked):
    """What is asked for: the request of the stack paper (appendix A), with units in the names of fields."""

    request_id: RequestName | None = Field(
        None,
        description="Name, once per lab; absent: the server makes one. The same name and the same terms "
        "are the same request.",
    )
    target_nodes: list[NodeName] = Field(
        min_length=2,
        max_length=64,
        description="Source first; of a pair its destination last, of a GHZ or graph state all members.",
    )
    entanglement_type: Literal["bipartite", "ghz", "graph"] = "bipartite"
    generation_mode: str = Field(
        "swap_asap",
        min_length=1,
        max_length=200,
        description="How pairs are swapped, such as swap_asap or score(alpha=0.5).",
    )
    count: int | None = Field(
        None, ge=1, le=INTEGER_MAX, description="Pairs or states; absent: see duration_s."
    )
    duration_s: Seconds | None = Field(
        None, description="From the first plan; absent: until count is reached."
    )
    until_cancelled: bool = Field(False, description="Neither count nor duration_s: until it is cancelled.")
    deadline_s: Seconds | None = Field(
        None, description="From submission to the last pair; absent: as the lab file says."
    )
    rate_threshold_hz: float | None = Field(None, ge=0.0, le=1e12, allow_inf_nan=False)
    reserved_only: bool = Field(
        False,
        description="Keep to what the wanted rate reserves: a steady rate, whatever others do; by default a "
        "share of what nobody has reserved comes on top.",
    )
    fidelity_threshold: float | None = Field(None, ge=0.0, le=1.0, allow_inf_nan=False)
    priority: int = Field(1, ge=1, le=64, description="Weight on shared links.")
    consumption: Literal["keep", "measure"] = Field(
        "keep", description="measure: each end measures as soon as it knows the pair."
    )
    cutoff_s: Seconds | None = Field(None, description="Age at which inner nodes give a pair up.")
    route: list[NodeName] | None = Field(None, min_length=2, max_length=64)
    tree: str | None = Field(None, min_length=1, max_length=2000, description='Such as "((a b) (b c))".')
    routes_max: int = Field(1, ge=1, le=8)
    paths: Literal["automatic", "proactive", "reactive", "virtual", "opportunistic"] = Field(
        "automatic", description="How the path is computed, docs/paths.md."
    )
    rounds: bool = Field(False, description="Textbook generation, round by round.")
    purification: str | None = Field(None, min_length=1, max_length=200)
    link_purification: int = Field(0, ge=0, le=4, description="Rounds that every link pair goes through.")
    edges: list[Edge] = Field([], max_length=256, description="Of a graph state.")
    vertices: list[tuple[PairName, NodeName]] = Field(
        [], max_length=64, description="Of a graph state: vertex and its node; absent: named alike."
    )
    when_full: Literal["queue", "reject"] = Field(
        "queue", description="What to do while there is no room beside other plans."
    )
    when_unreachable: Literal["wait", "end"] = Field(
        "wait",
        description="What to do while every way is broken: wait for repair until the deadline, or end.",
    )
    queue_s: Seconds | None = Field(
        None, description="Longest wait in the queue; absent: until the deadline."
    )
    entanglement_sequence: list[SequencePair] = Field(
        [],
        max_length=1000,
        description="Pairs that a distributed circuit consumes; target_nodes then names the coordinator "
        "first, and all nodes of the pairs.",
    )
    sequence_order: Literal["total", "partial", "unknown"] = "total"
    sequence_after: list[tuple[PairName, PairName]] = Field(
        [], max_length=1000, description="Of a partial order: the first pair is consumed before the second."
    )
    hold_s: Seconds | None = Field(
        None, description="Kept pairs wait at both ends for their use, up to this age; absent: not at all."
    )


class Suspension(Asked):
    """A pause of a request."""

    for_s: float = Field(
        gt=0.0, le=SUSPENSION_MAX_S, allow_inf_nan=False, description="After so long it goes on by itself."
    )


class Offer(Told):
    """What the lab could have promised instead."""

    rate_hz: float
    fidelity: float


class Request(Told):
    """A request as its source knows it."""

    request_id: str
    source: str = Field(description="Node at which it was made; it keeps the life of the request.")
    status: Status = Field(description="The paper's four: what an application is notified of.")
    state: str = Field(description="State of the life cycle at the source, finer than status.")
    generated_count: Number = Field(description="Pairs or states that both ends have durably recorded.")
    error_message: str | None = Field(description="Why it failed or was suspended.")
    admission: str = Field(description="pending, accepted, queued or rejected: whether there is room.")
    offer: Offer | None = Field(description="Best that could be promised when there was none.")
    plan_failure: str | None = Field(description="Why the latest plan did not come about; it is tried again.")
    terms: dict[str, Any] = Field(
        description="What was asked for, fields as on submission; those that were left out are absent."
    )
    submitted_by: str | None = Field(description="Name of the token; null: not through this API.")
    submitted_at: datetime
    started_at: datetime | None = Field(description="When its first plan was in force.")
    as_of: datetime = Field(description="When the source told it so.")
    fresh: bool = Field(description="Asked of the source for this very answer; false: as last heard.")


class RequestPage(Told):
    """Requests, the newest first."""

    items: list[Request]
    next: str | None = Field(description="Cursor of the following page; null: this was the last.")


class Notification(Told):
    """What an application is told (stack paper, appendix A): exactly these four fields."""

    request_id: str
    status: Status
    generated_count: int | None
    error_message: str | None


class Pair(Told):
    """A delivered pair, as the durable records of one of its end nodes have it."""

    number: Number = Field(description="From 1; pairs that turn out to be void use up a number.")
    peer: str = Field(description="The other end node.")
    state: Literal["committed", "settled", "void"] = Field(description="Only settled pairs count.")
    head_end: str
    tail_end: str
    others: list[tuple[str, str]] = Field(description="Further members of a GHZ or graph state: node, end.")
    frame: int = Field(ge=0, le=3, description="Bell state: 0 Phi+, 1 Phi-, 2 Psi+, 3 Psi-.")
    fidelity: float = Field(description="Estimated, at delivery.")
    at_ns: int = Field(description="When the head decided; unix time.")
    age_ns: int = Field(description="Of the oldest link pair in it, at delivery.")
    outcome: int | None = Field(
        description="Bit that this end has measured; null: kept, void, or the token may not see it."
    )


class PairPage(Told):
    """Pairs by number."""

    node: str = Field(description="Whose records these are.")
    items: list[Pair]
    next: str | None = Field(description="Cursor of the following page; null: this was the last so far.")


# ---- the lab


class Lab(Told):
    """The lab behind this server."""

    name: str
    description: str
    digest: str = Field(description="SHA-256 of its configuration.")
    bellwire: str = Field(description="Version of the server's software.")
    nodes: list[str]
    links: list[str]
    requests_in_file: list[str] = Field(description="Requests that the lab file brings along.")


class Instrument(Told):
    """An instrument as its agent knows it."""

    name: str
    condition: str
    reason: str


class Node(Told):
    """A node or heralding station. What only its agent can tell is null while it does not answer."""

    name: str
    role: str
    answers: bool
    ready: bool
    reason: str = Field(description='Why it is not ready; "" if it is.')
    incarnation: int | None = Field(description="How often its agent has been started.")
    peers: dict[str, str | None] | None = Field(description="What it thinks of its peers.")
    instruments: list[Instrument] | None
    slots: dict[str, int] | None = Field(description="Qubits by state.")
    swaps: dict[str, int] | None
    fusions: dict[str, int] | None
    events: dict[str, int] | None = Field(description="Named events since its agent began.")


class LinkFigures(Told):
    """What a link end has learnt of one operating point."""

    point: int
    name: str
    success_probability: float = Field(description="Of one joint attempt of one lane.")
    success_error: float = Field(description="Standard error; 0: as modelled, never measured.")
    fidelity: float
    fidelity_low: float = Field(description="Of the 95 % interval.")
    fidelity_high: float
    measured: int = Field(description="Heralds behind the probability.")
    tested: int = Field(description="Test rounds behind the fidelity.")
    age_s: float | None = Field(description="Of the newest measurement; null: nothing was measured.")


class LinkStanding(Told):
    """A link at work."""

    point: int | None = Field(description="Operating point in force; null: nobody wants the link.")
    duty: float | None = Field(description="Share of the time in which it may attempt.")
    wanted_by: list[str]
    figures: list[LinkFigures]
    counters: dict[str, int]


class Link(Told):
    """An elementary link: as the lab file has it, and how it stands."""

    name: str
    nodes: list[str]
    station: str | None
    architecture: str
    length_km: float
    lanes: int
    attempt_period_us: float
    points: list[dict[str, Any]] = Field(description="Operating points with the figures of the lab file.")
    ready: bool
    reason: str
    standing: LinkStanding | None = Field(description="Null: the node that speaks for it does not answer.")
    obstacles: list[str] | None = Field(description="What keeps its station from heralding; null: unknown.")


class MapNode(Told):
    """A node on the map of one agent. What only an announcement tells is null before there is one."""

    state: Literal["unheard", "up", "suspect", "down", "left"]
    reason: str = Field(description='Why; "" while it is up.')
    since_s: float = Field(description="For so long it has been in this state.")
    incarnation: int | None = Field(description="How often its agent has been started.")
    announcement: int | None = Field(description="Number of its latest announcement in this incarnation.")
    role: str | None
    relays: bool | None = Field(description="Swaps for others.")
    region: str | None
    software: str | None = Field(description="Version of bellwire.")
    schema_version: int | None = Field(alias="schema", description="Version of the messages.")
    memory: dict[str, int | None] | None
    links: list[str]
    agrees: bool | None = Field(description="With this agent's map, when it last told its digest.")
    agreed_s: float | None = Field(description="Seconds since it told it.")


class MapLink(Told):
    """A link on the map of one agent."""

    state: Literal["down", "contradicted", "half_announced", "suspect", "degraded", "verified", "unverified"]
    reason: str
    since_s: float
    nodes: list[str] | None = Field(description="Both ends as announced; null: nobody has.")
    station: str | None
    claims: dict[str, dict[str, Any]] = Field(description="What each end and the station announce of it.")
    verification: dict[str, Any] | None = Field(description="The latest quantum ping; null: none.")


class Map(Told):
    """The network as one agent sees it."""

    seen_by: str
    digest: str = Field(description="Equal digests: the same announcements have arrived.")
    version: dict[str, tuple[int, int]] = Field(
        description="Incarnation and number of the latest announcement of each node."
    )
    missing: list[str] = Field(description="Nodes that have announced nothing there.")
    nodes: dict[str, MapNode]
    links: dict[str, MapLink]


class Topology(Told):
    """The maps of all agents that answer, and where they disagree."""

    lab: str
    agree: bool
    disagreements: list[str] = Field(description="A sentence each.")
    silent: list[str] = Field(description="Agents that do not answer or keep no map.")
    left: list[str] = Field(description="Nodes that left the network in order.")
    digests: dict[str, str]
    maps: dict[str, Map]


class Calibration(Told):
    """One run of a procedure on a link."""

    record_id: str
    link: str
    procedure: str
    state: str = Field(description="in force, out of date, out of limits, replaced, failed or aborted.")
    age_s: float
    left_s: float | None = Field(description="How long it holds; null: for ever, or it does not hold.")
    record: dict[str, Any] = Field(description="Values, uncertainties, checks and provenance.")


class LinkCalibrations(Told):
    """What procedures have found out about a link."""

    link: str
    ready: bool
    reasons: list[str]
    due_in_s: float | None
    required: list[str]
    calibrations: list[Calibration]


class NodeHealth(Told):
    """Whether an agent answers, and how old what is known of it is."""

    answers: bool
    ready: bool
    heard_s: float | None = Field(description="Seconds since it told its news; null: never.")


class Health(Told):
    """The server and the lab behind it."""

    status: Literal["ready", "degraded"]
    reasons: list[str]
    nodes: dict[str, NodeHealth]
    streams: int = Field(description="Notification streams that are open.")
    notifications: Number = Field(description="Number of the latest notification.")
    events: dict[str, int] = Field(description="Named events of this server: refusals, gaps.")


class Token(Told):
    """A token without its secret."""

    token_id: str
    name: str
    role: Role
    created_at: datetime
    expires_at: datetime
    revoked: bool


# ---- errors


class ProblemDetails(Told):
    """RFC 9457."""

    model_config = ConfigDict(extra="allow", frozen=True)

    type: str
    title: str
    status: int
    detail: str
    instance: str
