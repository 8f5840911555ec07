"""The life cycle of a request: its table, its durable record, and what a request must look like.

Owns validation and the rows. Refuses action: requests.py acts. `suspended`, `resumed` and `terminated` come
from the execution monitor or from a person; a request that was suspended when its source died is restored and
suspended again for what is left.
"""

from collections.abc import Iterable
from typing import Final, Literal

import msgspec

from bellwire.core.bases import fault_of_choice
from bellwire.core.events import Record
from bellwire.core.graph_states import graph_fault, members_fault, vertices_fault, with_node_edges
from bellwire.core.ids import NodeId, RequestId
from bellwire.core.path_words import AUTOMATIC, PATH_TRAITS
from bellwire.core.plans import WEIGHTS_MAX, BestOffer, EntanglementRequest, is_pre_distributed
from bellwire.core.qubit_uses import fault_of_use
from bellwire.core.record import TaggedWord
from bellwire.core.registry import nearest
from bellwire.core.settings import NetworkSettings
from bellwire.transport.admission import Admission
from bellwire.transport.sequence_faults import sequence_fault
from bellwire.transport.transitions import Rows

Outcome = Literal["completed", "failed", "cancelled"]

REQUEST_ROWS: Final[Rows] = {
    ("absent", "submitted"): "recording",
    ("absent", "restored"): "planning",
    ("recording", "recorded"): "planning",
    ("recording", "cancelled"): "cancelled",
    ("recording", "deadline_over"): "failed",
    ("planning", "plan_active"): "in_progress",
    ("planning", "plan_failed"): "planning",
    ("planning", "plan_impossible"): "failed",
    ("planning", "no_room"): "failed",  # a request that does not want to wait
    ("planning", "queue_over"): "failed",  # its time in the queue was over before the source restarted
    ("planning", "room_awaited"): "queued",
    ("queued", "room_awaited"): "queued",
    ("queued", "plan_active"): "in_progress",
    ("queued", "plan_failed"): "queued",  # for another reason than room, or room that is known by now
    ("queued", "plan_impossible"): "failed",
    ("queued", "queue_over"): "failed",
    ("queued", "served"): "completed",
    ("queued", "deadline_over"): "failed",
    ("queued", "cancelled"): "cancelled",
    ("recording", "terminated"): "failed",  # a node that it needs leaves the network
    ("queued", "terminated"): "failed",
    ("suspended", "terminated"): "failed",
    ("planning", "served"): "completed",  # the last pair settled while a new plan was sought
    ("planning", "duration_over"): "completed",
    ("planning", "deadline_over"): "failed",
    ("planning", "cancelled"): "cancelled",
    ("in_progress", "plan_active"): "in_progress",  # a newer plan has taken the place of the older one
    ("in_progress", "plan_failed"): "planning",
    ("in_progress", "plan_impossible"): "failed",
    ("in_progress", "served"): "completed",
    ("in_progress", "duration_over"): "completed",
    ("in_progress", "deadline_over"): "failed",
    ("in_progress", "cancelled"): "cancelled",
    ("planning", "unreachable"): "failed",
    ("suspended", "unreachable"): "failed",
    ("queued", "unreachable"): "failed",
    ("in_progress", "unreachable"): "failed",
    ("planning", "suspended"): "suspended",
    ("planning", "terminated"): "failed",
    ("in_progress", "suspended"): "suspended",
    ("in_progress", "terminated"): "failed",
    ("suspended", "resumed"): "planning",
    ("suspended", "served"): "completed",  # pairs of the ended plan were still on their way
    ("suspended", "duration_over"): "completed",
    ("suspended", "deadline_over"): "failed",
    ("suspended", "cancelled"): "cancelled",
    ("planning", "closed"): "completed",  # cancelled, but it was to run until then
    ("in_progress", "closed"): "completed",
    ("suspended", "closed"): "completed",
}


class RequestRecord(TaggedWord, frozen=True):
    """What survives a restart of the source."""

    request: EntanglementRequest
    submitted_ns: int
    started_ns: int | None  # when its first plan became active; None: not yet
    outcome: Outcome | None  # None: unfinished
    delivered: int  # at the end; 0 while unfinished
    reason: str  # "" unless failed or cancelled
    admission: Admission = "pending"
    queued_ns: int | None = None  # since when it waits for room, None: it never did
    offer: BestOffer | None = None  # when it was last refused, None: nothing could be, or it was not
    resumes_ns: int | None = None  # end of the last suspension by a person, None: there was none

    def waited_ns(self, now_ns: int) -> int:
        """How long it has waited for room."""
        return 0 if self.queued_ns is None else now_ns - self.queued_ns


_encoder = msgspec.msgpack.Encoder()
_decoder: msgspec.msgpack.Decoder[RequestRecord] = msgspec.msgpack.Decoder(RequestRecord)


def to_record(record: RequestRecord) -> Record:
    """The durable form; a later record of the same request replaces this one."""
    return Record(kind="request", key=record.request.request_id, body=_encoder.encode(record))


def from_record(record: Record) -> RequestRecord:
    """The request in a durable record. Raises msgspec.ValidationError for anything else."""
    return _decoder.decode(record.body)


def newest(records: Iterable[Record]) -> dict[RequestId, RequestRecord]:
    """The newest record of each request. Raises msgspec.ValidationError for a record that is none."""
    return {each.key: from_record(each) for each in records if each.kind == "request"}


def fault_of(request: EntanglementRequest, settings: NetworkSettings, node: NodeId) -> str | None:
    """Why this node cannot take the request as it stands; None: it can."""
    nodes = request.target_nodes
    if request.request_id == "":
        return "request_id is empty"
    if is_pre_distributed(request.request_id):
        return f"request_id {request.request_id} is reserved for pairs in store"
    ghz = request.entanglement_type != "bipartite"
    if request.vertices and request.entanglement_type != "graph":
        return f"vertices are for graph states; entanglement_type is {request.entanglement_type}"
    if request.entanglement_type == "graph":
        fault = vertices_fault(nodes, request.edges, request.vertices)
        fault = fault or graph_fault(nodes, with_node_edges(request).edges)
        if fault is not None:
            return fault
    elif request.edges:
        return f"edges are for graph states; entanglement_type is {request.entanglement_type}"
    if ghz and (len(nodes) < 3 or len(set(nodes)) != len(nodes)):
        return f"target_nodes {list(nodes)}: a GHZ state has three different members or more"
    crowd = None if request.entanglement_sequence else members_fault(nodes)
    if crowd is not None:
        return crowd
    if not (ghz or request.entanglement_sequence) and (len(nodes) != 2 or nodes[0] == nodes[1]):
        return f"target_nodes {list(nodes)}: a bipartite request names two different nodes"
    if request.paths not in PATH_TRAITS:
        return f'unknown path computation "{request.paths}"{nearest(request.paths, PATH_TRAITS)}'
    if request.paths != AUTOMATIC and (ghz or request.entanglement_sequence):
        return f"paths: {request.paths} is for pairs; leave it out for other states and for sequences"
    if nodes[0] != node:
        return f"target_nodes {list(nodes)}: submit at the first of them, this is {node}"
    route = request.route or ()
    unknown = [name for name in (*nodes, *route) if name not in settings.nodes]
    if unknown:
        return f"unknown nodes {unknown}; the lab has {sorted(settings.nodes)}"
    for name in nodes[1:]:
        if settings.nodes[name].role == "station":
            return f"{name} is a heralding station and holds no qubits"
    if ghz:
        fault = _ghz_fault(request, settings)
        if fault is not None:
            return fault
    if route and (route[0] != nodes[0] or route[-1] != nodes[1] or len(set(route)) != len(route)):
        return f"route {list(route)} must lead from {nodes[0]} to {nodes[1]} without visiting a node twice"
    fault = sequence_fault(request, settings)
    if fault is not None:
        return fault
    if request.until_cancelled:
        if not (request.count is None and request.duration_ns is None and request.deadline_ns is None):
            return "until_cancelled: leave out count, duration and deadline, or leave it out"
    elif request.count is None and request.duration_ns is None and not request.entanglement_sequence:
        return "neither count nor duration given, nor until_cancelled"
    for name, value in (
        ("count", request.count),
        ("duration_ns", request.duration_ns),
        ("deadline_ns", request.deadline_ns),
        ("cutoff_ns", request.cutoff_ns),
        ("queue_ns", request.queue_ns),
        ("priority", request.priority),
    ):
        if value is not None and value < 1:
            return f"{name} = {value} must be at least 1"
    if request.priority > WEIGHTS_MAX:
        return f"priority = {request.priority} is above {WEIGHTS_MAX}"
    if request.fidelity_threshold is not None and not 0.0 <= request.fidelity_threshold <= 1.0:
        return f"fidelity_threshold = {request.fidelity_threshold} is outside 0..1"
    if request.rate_threshold_hz is not None and request.rate_threshold_hz < 0.0:
        return f"rate_threshold_hz = {request.rate_threshold_hz} is negative"
    plain = request.entanglement_type == "bipartite" and not request.entanglement_sequence
    if request.reserved_only and not (plain and request.rate_threshold_hz):
        return "reserved_only keeps to what rate_threshold_hz reserves for plain pairs: give that rate"
    return _fault_of_use(request)


def _fault_of_use(request: EntanglementRequest) -> str | None:
    """What is wrong with the bases, or with the use of kept qubits."""
    if request.bases:
        if request.consumption != "measure":
            return "bases go with consumption = measure; qubits that are kept are measured by a use"
        if len(request.bases) != 2:
            return f"bases: {len(request.bases)} choices; the source and the destination need one each"
        for choice in request.bases:
            fault = fault_of_choice(choice)
            if fault is not None:
                return f"bases: {fault}"
    if request.use is None:
        return None
    if request.consumption != "keep":
        return "use goes with consumption = keep: of a measured pair nothing is left to use"
    return fault_of_use(request.use, len(request.target_nodes))


def _ghz_fault(request: EntanglementRequest, settings: NetworkSettings) -> str | None:
    """What a request for GHZ states may not ask for."""
    for name in request.target_nodes:
        if settings.nodes[name].role != "end":
            return f"{name} is a repeater: members of a GHZ state are end nodes"
    if request.consumption != "keep":
        return "consumption = measure is for pairs; members of a GHZ state keep their qubits"
    if request.route is not None or request.tree is not None or request.rounds or request.link_purification:
        return "route, tree, rounds and link_purification are for pairs; leave them out for a GHZ state"
    if request.routes_max != 1:
        return f"routes_max = {request.routes_max} is for pairs; a GHZ state has one tree of links"
    return None
