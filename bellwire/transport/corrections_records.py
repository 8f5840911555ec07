"""What a source remembers of the corrective actions of its requests, and the terms that follow.

Owns the durable form of a standing and its way back at a restart. Refuses to change it (corrections.py).
"""

from collections.abc import Iterable

import msgspec

from bellwire.core.events import Record
from bellwire.core.ids import RequestId
from bellwire.core.plans import EntanglementRequest
from bellwire.transport.corrections import Standing
from bellwire.transport.corrections_terms import Term
from bellwire.transport.request_records import from_record

__all__ = ["Standing", "in_force", "restored", "standing_of", "to_record"]

_encoder = msgspec.msgpack.Encoder()
_decoder: msgspec.msgpack.Decoder[Standing] = msgspec.msgpack.Decoder(Standing)


def standing_of(request: EntanglementRequest) -> Standing | None:
    """Where a request stands at first; None: it has no thresholds to be held against."""
    rate_hz, fidelity = request.rate_threshold_hz, request.fidelity_threshold
    if not rate_hz and not fidelity:
        return None
    return Standing(
        rate=Term(asked=rate_hz, now=rate_hz) if rate_hz else None,
        fidelity=Term(asked=fidelity, now=fidelity) if fidelity else None,
        steady=request.reserved_only,
    )


def in_force(request: EntanglementRequest, standing: Standing) -> EntanglementRequest:
    """The request with the thresholds of its standing."""
    return msgspec.structs.replace(
        request,
        rate_threshold_hz=request.rate_threshold_hz if standing.rate is None else standing.rate.now,
        fidelity_threshold=request.fidelity_threshold if standing.fidelity is None else standing.fidelity.now,
    )


def to_record(request: RequestId, standing: Standing) -> Record:
    """The durable form; a later record of the same request replaces this one."""
    return Record(kind="monitor", key=request, body=_encoder.encode(standing))


def restored(records: Iterable[Record]) -> dict[RequestId, Standing]:
    """Standings of requests that are unfinished by their own records.

    Raises msgspec.ValidationError for a record that is none.
    """
    finished: set[RequestId] = set()
    standings: dict[RequestId, Standing] = {}
    for record in records:
        if record.kind == "request" and from_record(record).outcome is not None:
            finished.add(record.key)
        elif record.kind == "monitor":
            standings[record.key] = _decoder.decode(record.body)
    return {request: standing for request, standing in standings.items() if request not in finished}
