"""The `requests` section of a lab file: what is asked for when the lab starts.

Owns its keys, and what a single entry may not say. Refuses other sections of the file (crosscheck.py).
"""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from bellwire.labs.sections import Count, Name, Positive, Section


class SequenceEntry(Section):
    """One pair that a distributed circuit consumes."""

    id: Annotated[str, Field(pattern=r"^[^/]+$")]
    between: tuple[str, str]  # the first node gives it away


class Request(Section):
    """One entanglement request, submitted when the lab starts."""

    id: Name
    source: Annotated[str, Field(alias="from")]
    target: Annotated[str, Field(alias="to")]
    ghz_with: tuple[str, ...] = ()  # further members: GHZ states of all these nodes instead of pairs
    graph: tuple[tuple[str, str], ...] = ()  # edges of a graph state of all nodes they name, from and to too
    # of the graph: vertex and its node; empty: edges name nodes
    vertices: Annotated[dict[str, str], Field(default_factory=dict)]
    sequence: tuple[SequenceEntry, ...] = ()  # pairs in an order of consumption; from coordinates them
    sequence_order: Literal["total", "partial", "unknown"] = "total"
    sequence_after: tuple[tuple[str, str], ...] = ()  # of a partial order: the first pair before the second
    hold_s: Positive | None = None  # age up to which pairs of the sequence are kept; null: as memories allow
    count: Count | None = None
    duration_s: Positive | None = None
    until_cancelled: bool = False  # neither count nor duration: it runs until it is withdrawn
    when_full: Literal["queue", "reject"] = "queue"  # what to do while there is no room beside other plans
    # what to do while every way is broken: wait for repair until the deadline, or end with the reason
    when_unreachable: Literal["wait", "end"] = "wait"
    queue_s: Positive | None = None  # longest wait in the queue; null: until the deadline
    fidelity_min: Annotated[float, Field(gt=0.25, le=1)] | None = None
    rate_min_hz: Positive | None = None
    reserved_only: bool = False  # it keeps to what rate_min_hz reserves, and takes no share of the rest
    mode: str = "swap_asap"
    consumption: Literal["keep", "measure"] = "keep"
    cutoff_ms: Positive | None = None
    cutoff_attempts: Count | None = None
    rounds: bool = False
    link_purification: Annotated[int, Field(ge=0, le=4)] = 0  # rounds on each link pair before it is used
    purification: str | None = None  # between distant nodes: "hops:rounds" by level, "automatic", "adaptive"
    route: Annotated[tuple[str, ...], Field(min_length=2)] | None = None
    tree: str | None = None  # of swaps on that route: ((a b) (b c))
    routes_max: Annotated[int, Field(ge=1, le=8)] = 1  # that serve it side by side, each with its own tree
    tuning: str | None = (
        None  # file of `bellwire tune`, beside the lab file: route, tree and mode come from it
    )
    # How its path is computed (docs/paths.md); automatic: virtual where pairs are in store, else proactive
    paths: Literal["automatic", "proactive", "reactive", "virtual", "opportunistic"] = "automatic"
    weight: Annotated[int, Field(ge=1, le=64)] = 1
    deadline_s: Positive | None = None

    @property
    def node_edges(self) -> tuple[tuple[str, str], ...]:
        """Edges of the graph between nodes, whatever its vertices are called."""
        where = self.vertices
        return tuple((where.get(one, one), where.get(other, other)) for one, other in self.graph)

    @property
    def members(self) -> tuple[str, ...]:
        """Nodes that get a qubit of each state, `from` first and `to` last."""
        edges = (*self.node_edges, *(entry.between for entry in self.sequence))
        named = dict.fromkeys((*self.ghz_with, *(node for edge in edges for node in edge)))
        return (self.source, *(node for node in named if node not in (self.source, self.target)), self.target)

    @model_validator(mode="after")
    def _ends(self) -> Self:
        if self.ghz_with and self.graph:
            raise ValueError("ghz_with and graph are two kinds of states; give one")
        limits = self.count is not None or self.duration_s is not None
        if self.sequence:
            if limits or self.until_cancelled or self.ghz_with or self.graph:
                raise ValueError("a sequence names its pairs: leave out count, duration_s and other states")
        elif not limits and not self.until_cancelled:
            raise ValueError("give count (pairs), duration_s or until_cancelled, or the request never ends")
        if self.cutoff_ms is not None and self.cutoff_attempts is not None:
            raise ValueError("cutoff_ms and cutoff_attempts say the same thing; give one")
        if self.reserved_only and (self.rate_min_hz is None or self.sequence or self.ghz_with or self.graph):
            raise ValueError("reserved_only keeps to what rate_min_hz reserves for plain pairs; give it")
        if self.source == self.target:
            raise ValueError(f'from and to are both "{self.source}"')
        if len({self.source, self.target, *self.ghz_with}) != 2 + len(self.ghz_with):
            raise ValueError("ghz_with names a member twice; from and to are members anyway")
        if self.tuning is not None and not {"mode", "tree", "route"}.isdisjoint(self.model_fields_set):
            raise ValueError("tuning says mode, tree and route; leave these out")
        return self
