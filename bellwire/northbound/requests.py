"""From the terms of the API to the request of the lab, and from what a source tells to the answer.

Owns both directions. Refuses judgement: whether a request can be served is said by its source.
"""

import hashlib
import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from bellwire.client.words import Offer, Request, RequestTerms, Status
from bellwire.core.plans import EntanglementRequest
from bellwire.core.units import ns_from_s

FINAL_STATES: Final = frozenset({"completed", "failed", "cancelled"})

STATUS_OF: Final[Mapping[str, Status]] = {
    "completed": "completed",
    "failed": "failed",
    "cancelled": "failed",
    "suspended": "suspended",
}
"""The paper's status of a state of the life cycle; all others are in progress."""

SECONDS: Final = ("duration", "deadline", "cutoff", "queue", "hold")
"""Terms that the API has in seconds and the lab in nanoseconds."""


def fingerprint(terms: RequestTerms) -> str:
    """Equal for equal terms, however they were written."""
    said = json.dumps(terms.model_dump(mode="json", exclude_unset=True), sort_keys=True)
    return hashlib.sha256(said.encode()).hexdigest()


def request_of(terms: RequestTerms, request_id: str) -> EntanglementRequest:
    """As the lab takes it."""
    fields: dict[str, Any] = terms.model_dump(exclude_unset=True) | {"request_id": request_id}
    for name in SECONDS:
        if (seconds := fields.pop(f"{name}_s", None)) is not None:
            fields[f"{name}_ns"] = ns_from_s(seconds)
    return msgspec.convert(fields, EntanglementRequest)


def terms_told(request: Mapping[str, Any]) -> dict[str, Any]:
    """The terms of a request that a source has told, as they are submitted; defaults are left out."""
    told = dict(request)
    for name in SECONDS:
        if (found := told.pop(f"{name}_ns", None)) is not None:
            told[f"{name}_s"] = found / 1e9
    defaults = {name: field.default for name, field in RequestTerms.model_fields.items()}
    told["entanglement_sequence"] = [
        {"pair_id": pair["pair_id"], "nodes": list(pair["nodes"])} for pair in told["entanglement_sequence"]
    ]
    return {
        name: value
        for name, value in told.items()
        if name in defaults and (name == "target_nodes" or value != defaults[name])
    }


def request_told(
    standing: Mapping[str, Any], source: str, submitted_by: str | None, heard_ns: int, *, fresh: bool
) -> Request:
    """The answer about a request."""
    state = standing["state"]
    return Request(
        request_id=standing["request"]["request_id"],
        source=source,
        status=STATUS_OF.get(state, "in_progress"),
        state=state,
        generated_count=standing["delivered"],
        error_message=standing["reason"],
        admission=standing["admission"],
        offer=None if standing["offer"] is None else Offer.model_validate(standing["offer"]),
        plan_failure=standing["plan_failure"],
        terms=terms_told(standing["request"]),
        submitted_by=submitted_by,
        submitted_at=moment(standing["submitted_ns"]),
        started_at=None if standing["started_ns"] is None else moment(standing["started_ns"]),
        as_of=moment(heard_ns),
        fresh=fresh,
    )


def moment(unix_ns: int) -> datetime:
    """A time as JSON has it, to the microsecond."""
    return datetime.fromtimestamp(unix_ns // 1000 / 1e6, UTC)


_WORDS: Final = re.compile(r"[^A-Za-z0-9_.-]")


def fresh_name(nodes: tuple[str, ...], mark: str) -> str:
    """A request_id for those who give none."""
    return f"{_WORDS.sub('-', '-'.join(nodes[:4]))[:80]}-{mark}"
