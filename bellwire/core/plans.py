"""Plans: what each node is asked to do for a request (the stack paper's Plan Dispatch API).

Owns the plan values that planner, swapping and link layer share. Refuses algorithms.
"""

from typing import Final, Literal

from bellwire.core.ids import End, LinkId, NodeId, RequestId
from bellwire.core.link_words import BasisChoice
from bellwire.core.modes import follows_tree
from bellwire.core.qubit_uses import QubitUse
from bellwire.core.record import TaggedWord, Word

WEIGHTS_MAX: Final = 64
"""Sum of the weights of all requests that share one link."""

PRE_DISTRIBUTED: Final = "pre_distributed"
"""Reserved id of requests for pairs that are kept in store; any request may use such a pair."""


def store_request(one: NodeId, other: NodeId) -> RequestId:
    """The id under which pairs of a super-link are made: the reserved one, and whose store they are for."""
    return f"{PRE_DISTRIBUTED}:{one}~{other}"


def is_pre_distributed(request: RequestId | None) -> bool:
    """True for the reserved id, alone or with the super-link that it makes pairs for."""
    return request is not None and (request == PRE_DISTRIBUTED or request.startswith(f"{PRE_DISTRIBUTED}:"))


def sequence_of(part: RequestId) -> RequestId:
    """The sequence of which a request makes one pair, by its name: sequence/round/pair."""
    return part.rsplit("/", 2)[0]


PolicyName = str
"""A generation mode (core/modes.py), for example "swap_asap" or "score(alpha=0.5)"."""

Rows = tuple[tuple[float, ...], ...]
"""One number for each segment of a route: row i has those of (i, i+1), (i, i+2) and so on."""


class RouteTable(Word, frozen=True, kw_only=True):
    """Offline values of the segments of a route, which adaptive policies read (algorithms.md 8). Seconds."""

    position: int  # of the node that the plan is for, on the route of the swap plan
    swap_probability: float  # of that node
    latency_s: Rows  # T of the best subtree of each segment
    value_s: Rows  # V: expected cost of a pair of the segment, in units of link costs
    worth_s: Rows  # U: what such a pair is worth to the whole route, 0..V
    partner_s: Rows  # W: T of the partner with which it attains that worth
    tree: tuple[tuple[int, int, int], ...]  # swaps of the default tree: left, at, right
    wait_s: float  # decisions are looked at again after this long: mean T of the links

    def of(self, rows: Rows, left: int, right: int) -> float:
        """The number of a segment."""
        return rows[left][right - left - 1]

    @property
    def root_s(self) -> float:
        """T of the whole route."""
        return self.latency_s[0][-1]

    @property
    def hops(self) -> int:
        """Links of the route."""
        return len(self.latency_s[0])


class SwapPlan(TaggedWord, frozen=True, kw_only=True):
    """How an inner node of the route swaps. Partners are those of the default tree."""

    request: RequestId
    tree: int
    left_link: LinkId  # local link towards the source
    right_link: LinkId  # local link towards the destination
    left_partner: NodeId  # far owner of the left pair in the default tree
    right_partner: NodeId  # far owner of the right pair in the default tree
    depth: int  # depth of this swap in the tree, 0 at the root
    policy: PolicyName
    rounds: bool  # textbook generation: a memory rests after a successful swap until its round is over
    rate_hz: float  # expected rate of this swap's product
    inner_left: tuple[NodeId, ...] = ()  # inner nodes of the left child segment, in route order (for rounds)
    inner_right: tuple[
        NodeId, ...
    ] = ()  # inner nodes of the right child segment, in route order (for rounds)
    route: tuple[NodeId, ...] = ()  # of the tree; empty: the policy needs to know none
    table: RouteTable | None = None  # None: the policy reads none


class LinkPlan(TaggedWord, frozen=True, kw_only=True):
    """Link pairs that a node generates with a neighbour for a request."""

    request: RequestId
    tree: int
    link: LinkId
    partner: NodeId
    rate_hz: float  # expected rate of link pairs
    lanes: (
        int  # memory pairs of the link that nobody else uses, 0: none, the request shares what is unreserved
    )
    weight: int  # share in what is unreserved, 1..WEIGHTS_MAX
    fidelity_min: float | None  # None: whatever the link gives
    priority: int = 0  # 0..7, higher is sooner, where the link's scheduler looks at it
    background: bool = False  # uses only what nobody else wants at the moment
    rounds: int = 0  # of link purification before a pair is handed up (paper IV-F)
    pumping: bool = False  # fresh pairs purify one kept pair; else pairs of equal rounds purify each other
    cutoff_ns: int | None = None  # age at which a pair kept back for rounds is given up, None: compulsory one
    paced: bool = False  # no more attempts than rate_hz needs, even where nobody else wants the link
    reserved_only: bool = False  # keeps to its `lanes`, even where nobody else wants the link


class PurificationPlan(TaggedWord, frozen=True, kw_only=True):
    """Rounds of purification with a partner, before the pairs shared with it are used; absence: no rounds."""

    request: RequestId
    tree: int
    partner: NodeId
    rounds: int  # that a pair goes through; where `fidelity_min` decides, through at most so many
    pumping: bool = False  # fresh pairs purify one kept pair; else pairs of equal rounds purify each other
    fidelity_min: float | None = None  # only pairs below it are purified, None: all of them


class FusionStep(Word, frozen=True, kw_only=True):
    """Two states that a fixed order joins at a node."""

    one: LinkId  # local link by which the first state came; of a joined one, the smallest of its links
    other: LinkId
    one_nodes: tuple[NodeId, ...]  # owners of a qubit of the first state, this node included, sorted
    other_nodes: tuple[NodeId, ...]


class FusionKnot(Word, frozen=True, kw_only=True):
    """One vertex of a graph state at a node: what reaches it by these links is joined without more ado."""

    links: tuple[LinkId, ...]  # of this node, sorted; none: only what turns into this vertex
    parent: int | None  # number of the vertex into which it turns once all of it is joined, None: it stays


class FusionPlan(TaggedWord, frozen=True, kw_only=True):
    """How a node of a tree of links joins the states that reach it into one (paper IV-E)."""

    request: RequestId
    kind: Literal["ghz", "graph"]
    members: tuple[NodeId, ...]  # nodes with a qubit of the final state, the source first
    nodes: tuple[NodeId, ...]  # all nodes of the tree
    links: tuple[LinkId, ...]  # all links of the tree, sorted
    branches: tuple[LinkId, ...]  # those at this node, sorted
    retains: bool  # this node is a member: one of its qubits stays
    edges: tuple[tuple[NodeId, NodeId], ...]  # the ends of each of `links`
    order: Literal["asap", "score", "fixed"]  # joins what is there, what is worth it, or `steps` only
    steps: tuple[FusionStep, ...] = ()  # of a fixed order, all but the last of a leaving node retain
    worths: tuple[tuple[int, float], ...] = ()  # U of each connected part, by the sum of 2**i over its links
    success_probability: float = 1.0  # of a join here
    patience_ns: int | None = None  # a join not worth while is made after this wait all the same, None: never
    rate_hz: float = 0.0  # expected rate of the final state
    graph: tuple[tuple[NodeId, NodeId], ...] = ()  # edges between members of a graph state, none: GHZ
    turns_last: tuple[NodeId, ...] = ()  # members that turn their qubit by a Hadamard gate at delivery
    knots: tuple[FusionKnot, ...] = ()  # vertices at this node, what stays first; none: one of all links


class StoreSegment(Word, frozen=True, kw_only=True):
    """A part of a route that a pair in store may stand for."""

    tree: int
    head: NodeId  # first node of the super-link's own route: it gives the pairs away
    tail: NodeId


class SequencePart(TaggedWord, frozen=True, kw_only=True):
    """What a request is part of: one pair of another node's sequence, tried in a certain round."""

    coordinator: NodeId
    request: RequestId  # the sequence
    round: int  # counts the batches that were begun, failed ones included
    pair_id: str


class NodePlan(TaggedWord, frozen=True, kw_only=True):
    """Everything one node needs for one request, in one message."""

    request: RequestId
    version: int  # a higher version replaces a lower one
    source: NodeId
    destination: NodeId
    role: Literal["source", "inner", "destination"]
    routes: tuple[tuple[NodeId, ...], ...]  # of the trees in which this node has a part
    links: tuple[LinkPlan, ...]
    swaps: tuple[SwapPlan, ...]  # one for each tree in which this node is an inner one; none at the two ends
    cutoff_ns: int | None  # maximum age of an end waiting at an inner node; None: only the compulsory one
    rounds: bool
    lease_ns: int  # the plan lapses when it is not renewed for this long
    consumption: Literal["keep", "measure"] = "keep"  # of the request; the end nodes deliver by it
    stored: tuple[End, ...] = ()  # own ends of stored pairs that the plan keeps from all others
    from_store: tuple[StoreSegment, ...] = ()  # segments with an end here that any pair in store may serve
    purifications: tuple[PurificationPlan, ...] = ()  # of pairs that end here, by partner
    fusion: FusionPlan | None = None  # None: a plan for pairs
    mode: PolicyName = ""  # generation mode of all its trees, "": as the swap plans say
    bases: tuple[BasisChoice, ...] = ()  # of the request
    use: QubitUse | None = None  # of the request
    hold_ns: int | None = None  # of the request
    part_of: SequencePart | None = None  # of the request
    gathers: bool = False  # its link pairs come out of store: links make none for it

    @property
    def route(self) -> tuple[NodeId, ...]:
        """Of the first tree in which this node has a part; the only one of nearly all plans."""
        return self.routes[0]


class Prediction(Word, frozen=True, kw_only=True):
    """What the planner expects of a plan; compared with what happened by the execution monitor."""

    rate_hz: float
    latency_ns: int  # mean time per delivered pair
    fidelity: float  # mean fidelity at delivery
    hops: int


class RequestPlan(TaggedWord, frozen=True, kw_only=True):
    """The whole plan of a request, as computed by the destination and dispatched by the source."""

    request: RequestId
    version: int
    nodes: dict[NodeId, NodePlan]
    rate_hz: float
    latency_ns: int
    fidelity: float
    tree: str  # human-readable nesting, for example "((alice relay) (relay bob))"; trees joined by " + "
    shape: str  # what makes it different from other plans of the request: policy, route, tree (`shape_of`)
    measured: tuple[LinkId, ...] = ()  # links whose measured figures count; all others as in the lab file


def shape_of(policy: PolicyName, route: tuple[NodeId, ...], tree: str) -> str:
    """The shape of a tree in words: policy and route, and the tree where the policy follows it. Rates and
    reserved lanes do not count; without a swap there is only the link."""
    if len(route) == 2:
        return "-".join(route)
    return f"{policy} {tree if follows_tree(policy) else '-'.join(route)}"


class LinkRoom(Word, frozen=True, kw_only=True):
    """What a node has left of a link for a newcomer."""

    link: LinkId
    lanes: int  # can still be reserved
    weight: int  # can still join those who share, 0: nothing unreserved is left to share


class PointNews(Word, frozen=True, kw_only=True):
    """What was learnt of one operating point of a link, weighed against what the lab file says."""

    point: int
    success_probability: float  # of one joint attempt of one lane
    fidelity: float  # of a fresh pair


class LinkNews(Word, frozen=True, kw_only=True):
    """What a planner has learnt of a link, as of the moment in which it plans."""

    link: LinkId
    points: tuple[PointNews, ...]  # those of which something was measured
    duty: float | None  # share of the time in which the link may attempt, None: not said
    measured: int  # heralds behind the success probabilities
    tested: int  # test rounds behind the fidelities
    age_ns: int  # of the newest measurement
    down: str = ""  # why no pair can be had of it; "": as far as is known, pairs can


class StoreNews(Word, frozen=True, kw_only=True):
    """What the head of a super-link has told of its store."""

    super_link: RequestId  # its reserved id
    pairs: int  # that nobody has claimed


class PresentPair(Word, frozen=True, kw_only=True):
    """A pair of the ledger that a request may use: its own, or one in store that nobody has claimed."""

    nodes: tuple[NodeId, NodeId]
    fidelity: float  # as of the moment of planning


class Circumstances(Word, frozen=True, kw_only=True):
    """What a planner should know of the world beside the request: learnt from plans that did not work out."""

    avoid: tuple[NodeId, ...] = ()  # nodes that are judged lost
    room: tuple[LinkRoom, ...] = ()  # links that were refused lately; all others are taken to be free
    failed: tuple[str, ...] = ()  # shapes of plans that failed lately, the oldest first
    links: tuple[LinkNews, ...] = ()  # what links advertise; all others are taken to be as in the lab file
    stores: tuple[StoreNews, ...] = ()  # of super-links; all others are taken to be empty
    down: tuple[LinkId, ...] = ()  # links that are told to make no pairs
    # of the ledger, None: the planner does not see it, or the request's paths do not depend on it
    pairs: tuple[PresentPair, ...] | None = None


class SequencePair(TaggedWord, frozen=True, kw_only=True):
    """One pair of an entanglement sequence, as a distributed circuit consumes it."""

    pair_id: str  # names it within its sequence
    nodes: tuple[NodeId, NodeId]  # the first one gives it away


class ExecutionBatch(TaggedWord, frozen=True, kw_only=True):
    """Pairs of a sequence that are made side by side and kept until all of them are there."""

    pair_ids: tuple[str, ...]  # in the order of their consumption
    latency_s: float  # expected, until all are there


class BestOffer(Word, frozen=True, kw_only=True):
    """The best that the network could promise when a request got no plan."""

    rate_hz: float
    fidelity: float


class EntanglementRequest(TaggedWord, frozen=True, kw_only=True):
    """An Entanglement Distribution Request (paper section IV-A): pairs, GHZ or graph states, or a sequence of
    pairs."""

    request_id: RequestId
    target_nodes: tuple[NodeId, ...]  # source first, destination last; of a GHZ state all members
    entanglement_type: Literal["bipartite", "ghz", "graph"] = "bipartite"
    generation_mode: PolicyName = "swap_asap"
    count: int | None = None  # number of pairs; None: until the duration is over
    duration_ns: int | None = None  # None: until the count is reached
    until_cancelled: bool = False  # neither count nor duration: it runs until it is withdrawn
    deadline_ns: int | None = None  # allowed time from submission to the last pair; None: the host's default
    rate_threshold_hz: float | None = None
    # it keeps to the lanes that its rate reserves, and takes no share of what nobody has reserved
    reserved_only: bool = False
    fidelity_threshold: float | None = None
    priority: int = 1  # weight on shared links, 1..WEIGHTS_MAX
    consumption: Literal["keep", "measure"] = (
        "keep"  # measure: each end measures as soon as it knows the pair
    )
    cutoff_ns: int | None = None  # age cutoff at inner nodes, None: the planner's choice or none
    route: tuple[NodeId, ...] | None = None  # None: the planner's choice
    tree: str | None = None  # "((a b) (b c))", and with it the route; None: the planner's choice
    routes_max: int = 1  # routes that serve it side by side, each with a tree of its own
    rounds: bool = False  # textbook generation, see SwapPlan.rounds
    purification: str | None = None  # of longer pairs (core/purification_words.py), None: none
    link_purification: int = 0  # rounds that every link pair goes through before it is used
    edges: tuple[tuple[NodeId, NodeId], ...] = ()  # of a graph state (core/graph_states.py)
    # consumption = measure: how the source and the destination choose their bases, none: both Z
    bases: tuple[BasisChoice, ...] = ()
    use: QubitUse | None = None  # consumption = keep: what the members do with their qubits, None: nothing
    when_full: Literal["queue", "reject"] = "queue"  # what to do while there is no room beside other plans
    # what to do while every way is broken: wait for repair until the deadline, or end at once with the reason
    when_unreachable: Literal["wait", "end"] = "wait"
    queue_ns: int | None = None  # longest wait in the queue, None: until the deadline
    vertices: tuple[tuple[str, NodeId], ...] = ()  # of a graph state: vertex and its node; none: named alike
    # pairs that a distributed circuit consumes; target_nodes then names the coordinator and all their nodes
    entanglement_sequence: tuple[SequencePair, ...] = ()
    # unknown: pairs that share a node are consumed as they stand in the sequence
    sequence_order: Literal["total", "partial", "unknown"] = "total"
    sequence_after: tuple[tuple[str, str], ...] = ()  # of a partial order: the first pair before the second
    hold_ns: int | None = None  # kept pairs wait at both ends for their use, up to this age; None: not at all
    part_of: SequencePart | None = None  # None: a request of its own
    paths: str = "automatic"  # how its path is computed (core/path_words.py)
