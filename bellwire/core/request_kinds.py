"""What a request leaves to the network: its kind, as its thresholds and its sequence say.

Owns the kinds and their names. Refuses plans and validation.
"""

from typing import Final, Literal

from bellwire.core.plans import EntanglementRequest

RequestKind = Literal["number", "best_fidelity", "best_rate", "both", "sequence"]

KINDS: Final[dict[RequestKind, str]] = {
    "number": "as fast as it goes",
    "best_fidelity": "a rate at the best fidelity",
    "best_rate": "the best rate above a fidelity",
    "both": "a rate and a fidelity",
    "sequence": "pairs in an order of consumption",
}
"""Kind -> what it means, in words for people."""


def kind_of(request: EntanglementRequest) -> RequestKind:
    """The kind of a request. A threshold that is named is kept; the one that is not named is made best."""
    if request.entanglement_sequence:
        return "sequence"
    if request.rate_threshold_hz:
        return "best_fidelity" if request.fidelity_threshold is None else "both"
    return "number" if request.fidelity_threshold is None else "best_rate"


def is_standing(request: EntanglementRequest) -> bool:
    """It ends when it is over or withdrawn, not when it has enough."""
    return request.count is None and not request.entanglement_sequence
