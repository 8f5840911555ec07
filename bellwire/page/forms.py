"""The forms behind the buttons: what is asked before an order is given.

Owns their words and fields. Refuses to check what comes back (orders.py).
"""

from collections.abc import Mapping, Sequence
from typing import Any

from bellwire.core.ids import LinkId, NodeId

Form = Mapping[str, Any]


def start_form(ends: Sequence[NodeId]) -> Form:
    """Ask for pairs between two end nodes."""
    options = [[name, name.replace("_", " ")] for name in ends]
    return {
        "title": "Start a request",
        "intro": "Ask the lab for entangled pairs between two nodes.",
        "fields": [
            {"name": "from", "label": "From", "options": options, "value": ends[0]},
            {"name": "to", "label": "To", "options": options, "value": ends[-1]},
            {
                "name": "count",
                "label": "Pairs",
                "type": "number",
                "min": 1,
                "step": 1,
                "help": "Empty: until it is cancelled.",
            },
            {
                "name": "fidelity_threshold",
                "label": "Fidelity, at least",
                "type": "number",
                "min": 0,
                "max": 1,
                "step": "any",
                "help": "Empty: whatever comes.",
            },
            {
                "name": "request_id",
                "label": "Name",
                "maxlength": 100,
                "help": "Empty: the server makes one.",
            },
        ],
        "send": "Start",
    }


def suspend_form(request_id: str) -> Form:
    """Have a request sleep."""
    return {
        "title": f"Suspend {request_id}?",
        "intro": "Its memories are free for others meanwhile. Pairs that were delivered stay delivered.",
        "fields": [
            {
                "name": "for_s",
                "label": "For how many seconds",
                "type": "number",
                "min": 1,
                "max": 86_400,
                "step": "any",
                "value": "60",
                "required": True,
                "help": "It goes on by itself after that.",
            }
        ],
        "send": "Suspend",
        "back": "Keep it running",
    }


def resume_form(request_id: str) -> Form:
    """Have a request go on."""
    return {
        "title": f"Resume {request_id}?",
        "intro": "It is planned anew at once.",
        "fields": [],
        "send": "Resume",
        "back": "Leave it asleep",
    }


def cancel_form(request_id: str) -> Form:
    """End a request."""
    return {
        "title": f"Cancel {request_id}?",
        "intro": "It ends for good. Pairs that were delivered stay delivered.",
        "fields": [],
        "send": "Cancel the request",
        "back": "Keep it",
        "danger": True,
    }


def calibrate_form(link: LinkId) -> Form:
    """Calibrate a link."""
    return {
        "title": f"Calibrate {link}?",
        "intro": "The link makes no pairs for requests while its light is measured and aligned.",
        "fields": [
            {
                "name": "which",
                "label": "Which procedures",
                "options": [["due", "Those that are due"], ["all", "All of them"]],
                "value": "due",
            }
        ],
        "send": "Calibrate",
        "back": "Leave it",
    }
