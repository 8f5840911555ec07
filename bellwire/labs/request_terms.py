"""Requests of a lab file as the transport layer takes them.

Owns the conversion. Refuses checks: what comes here was checked.
"""

from collections.abc import Callable

from bellwire.core.plans import EntanglementRequest, SequencePair
from bellwire.core.units import ns_from_s
from bellwire.labs.models import LabFile
from bellwire.labs.optics import TEXTBOOK_CUTOFF_MARGIN_NS, attempt_period_ns
from bellwire.labs.request_models import Request


def request_of(file: LabFile, request: Request) -> EntanglementRequest:
    """The request, as its source is told it."""
    cutoff_ns = None if request.cutoff_ms is None else round(request.cutoff_ms * 1e6)
    if request.cutoff_attempts is not None:
        period_ns = attempt_period_ns(file, next(iter(file.links.values())))
        cutoff_ns = request.cutoff_attempts * period_ns + TEXTBOOK_CUTOFF_MARGIN_NS
    return EntanglementRequest(
        request_id=request.id,
        target_nodes=request.members,
        entanglement_type="graph" if request.graph else "ghz" if request.ghz_with else "bipartite",
        edges=request.graph,
        vertices=tuple(request.vertices.items()),
        entanglement_sequence=tuple(
            SequencePair(pair_id=entry.id, nodes=entry.between) for entry in request.sequence
        ),
        sequence_order=request.sequence_order,
        sequence_after=request.sequence_after,
        hold_ns=_optional(request.hold_s, ns_from_s),
        generation_mode=request.mode,
        count=request.count,
        duration_ns=_optional(request.duration_s, ns_from_s),
        until_cancelled=request.until_cancelled,
        when_full=request.when_full,
        when_unreachable=request.when_unreachable,
        queue_ns=_optional(request.queue_s, ns_from_s),
        deadline_ns=_optional(request.deadline_s, ns_from_s),
        rate_threshold_hz=request.rate_min_hz,
        reserved_only=request.reserved_only,
        fidelity_threshold=request.fidelity_min,
        priority=request.weight,
        consumption=request.consumption,
        cutoff_ns=cutoff_ns,
        route=request.route,
        tree=request.tree,
        routes_max=request.routes_max,
        rounds=request.rounds,
        link_purification=request.link_purification,
        purification=request.purification,
        paths=request.paths,
    )


def _optional(value: float | None, convert: Callable[[float], int]) -> int | None:
    return None if value is None else convert(value)
