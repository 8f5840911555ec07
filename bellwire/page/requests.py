"""Requests as they are shown: status, pairs, rate, fidelity, what the execution monitor did, what one may do.

Owns the words and which orders are offered to whom. Refuses to carry them out (actions.py asks again who it
is). Bounded: the newest requests, the latest actions of each.
"""

from collections import OrderedDict, deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from bellwire.northbound.requests import FINAL_STATES
from bellwire.northbound.store import KeptNotification, KeptRequest
from bellwire.northbound.tokens import Principal
from bellwire.page.values import NOTHING, Order, Row, Shown, Tone, duration_text, rate_text

SHOWN: Final = 30
"""Requests, the newest first; those that are not over before all others."""
FOLLOWED_MAX: Final = 512
ACTIONS_KEPT: Final = 5
EVENTS_KEPT: Final = 60
PROGRESS_GOOD_FOR_S: Final = 5.0

COLUMNS: Final = (
    ("request", "Request"),
    ("between", "Between"),
    ("status", "Status"),
    ("pairs", "Pairs"),
    ("rate", "Rate"),
    ("fidelity", "Fidelity"),
    ("action", "Monitor"),
)

TONES: Final[Mapping[str, Tone]] = {
    "in_progress": Tone.GOOD,
    "planning": Tone.BUSY,
    "recording": Tone.BUSY,
    "queued": Tone.BUSY,
    "suspended": Tone.WARN,
    "completed": Tone.OFF,
    "cancelled": Tone.OFF,
    "failed": Tone.BAD,
}
WORDS: Final[Mapping[str, str]] = {
    "in_progress": "running",
    "recording": "being taken",
    "queued": "waits for room",
}
ACTIONS: Final[Mapping[str, str]] = {
    "replan": "planned anew",
    "adjust_rate": "rate wanted changed",
    "adjust_fidelity": "fidelity wanted changed",
    "suspend": "suspended",
    "terminate": "ended",
    "continue": "nothing",
}


@dataclass(frozen=True, slots=True)
class Happening:
    """Something that a person should be able to read later. `about`: request, node or link."""

    at_ns: int
    about: str
    text: str
    tone: Tone


@dataclass(slots=True)
class _Followed:
    progress: Mapping[str, Any] | None = None
    progress_ns: int = 0
    actions: deque[Happening] = field(default_factory=lambda: deque[Happening](maxlen=ACTIONS_KEPT))


class RequestNews:
    """What was reported of requests of late."""

    def __init__(self) -> None:
        self.events: deque[Happening] = deque(maxlen=EVENTS_KEPT)
        self._followed: OrderedDict[str, _Followed] = OrderedDict()

    def take(self, told: Iterable[KeptNotification]) -> None:
        """The next notifications, in their order."""
        for one in told:
            if one.request_id is None:
                continue
            followed = self._of(one.request_id)
            match one.kind:
                case "request_status" if one.body["status"] != "in_progress":
                    self.events.append(_ending(one))
                case "report" if one.body["name"] == "request_progress":
                    followed.progress, followed.progress_ns = one.body["fields"], one.at_ns
                case "report" if one.body["name"] == "corrective_action":
                    happening = _corrected(one)
                    followed.actions.append(happening)
                    self.events.append(happening)
                case _:
                    pass

    def progress(self, request_id: str) -> tuple[Mapping[str, Any] | None, int]:
        """The latest figures of a request and when they were told."""
        found = self._followed.get(request_id)
        return (None, 0) if found is None else (found.progress, found.progress_ns)

    def actions(self, request_id: str) -> Sequence[Happening]:
        """The latest corrective actions of a request, the newest last."""
        found = self._followed.get(request_id)
        return () if found is None else tuple(found.actions)

    def _of(self, request_id: str) -> _Followed:
        found = self._followed.setdefault(request_id, _Followed())
        self._followed.move_to_end(request_id)
        while len(self._followed) > FOLLOWED_MAX:
            self._followed.popitem(last=False)
        return found


def _ending(one: KeptNotification) -> Happening:
    status, why = one.body["status"], one.body["error_message"]
    tone = {"completed": Tone.GOOD, "suspended": Tone.WARN}.get(status, Tone.BAD)
    assert one.request_id is not None
    return Happening(one.at_ns, one.request_id, f"{status}: {why}" if why else status, tone)


def _corrected(one: KeptNotification) -> Happening:
    fields = one.body["fields"]
    said: str = ACTIONS.get(fields["action"], str(fields["action"]))
    if fields.get("suspended_ns"):
        said += f" for {duration_text(fields['suspended_ns'] / 1e9)}"
    assert one.request_id is not None
    tone = Tone.BAD if fields["action"] == "terminate" else Tone.WARN
    return Happening(one.at_ns, one.request_id, f"{said}: {fields['reason']}", tone)


def ordered(kept: Sequence[KeptRequest]) -> list[KeptRequest]:
    """Those that are not over first, then the newest."""
    return sorted(kept, key=lambda one: (one.standing["state"] in FINAL_STATES, -one.number))[:SHOWN]


def request_row(one: KeptRequest, news: RequestNews, heard_ns: int, good_for_s: float) -> Row:
    """The row of a request, without orders: they differ from person to person."""
    standing, state = one.standing, one.standing["state"]
    request = standing["request"]
    over = state in FINAL_STATES
    told, told_ns = news.progress(one.request_id)
    delivered, count = standing["delivered"], request.get("count")
    pairs = f"{delivered:,}" if count is None else f"{delivered:,} of {count:,}"
    actions = news.actions(one.request_id)
    ages = not over
    return Row(
        one.request_id,
        {
            "request": Shown(
                one.request_id, title="" if one.submitted_by is None else f"by {one.submitted_by}"
            ),
            "between": Shown(" – ".join(request["target_nodes"])),
            "status": Shown(
                WORDS.get(state, state),
                TONES.get(state, Tone.WARN),
                heard_ns if ages else None,
                good_for_s if ages else None,
                title=standing["reason"] or (standing["plan_failure"] if not over else "") or "",
            ),
            "pairs": Shown(pairs, at_ns=heard_ns if ages else None, good_for_s=good_for_s if ages else None),
            "rate": _progress(told, told_ns, "rate_hz", over),
            "fidelity": _progress(told, told_ns, "fidelity", over),
            "action": Shown(
                actions[-1].text.partition(":")[0],
                at_ns=actions[-1].at_ns,
                with_age=True,
                title=actions[-1].text,
            )
            if actions
            else Shown("–"),
        },
        tone=TONES.get(state, Tone.WARN),
    )


def _progress(told: Mapping[str, Any] | None, told_ns: int, name: str, over: bool) -> Shown:
    value = None if told is None else told[name]
    if over and (value is None or name == "rate_hz"):
        return Shown("–")
    if value is None:
        return NOTHING
    text = rate_text(value) if name == "rate_hz" else f"{value:.3f}"
    return Shown(text, at_ns=told_ns, good_for_s=None if over else PROGRESS_GOOD_FOR_S)


def orders_for(one: KeptRequest, who: Principal) -> tuple[Order, ...]:
    """What this person may do with a request now."""
    state = one.standing["state"]
    owns = one.submitted_by == who.name or who.may("admin")
    if state in FINAL_STATES or not who.may("operator") or not owns:
        return ()
    name = one.request_id
    orders: list[Order] = []
    if state == "suspended":
        orders.append(Order("resume", "Resume", f"Resume request {name}"))
    elif state in ("in_progress", "planning") and not one.standing["request"].get("entanglement_sequence"):
        orders.append(Order("suspend", "Suspend", f"Suspend request {name}"))
    return (*orders, Order("cancel", "Cancel", f"Cancel request {name}", danger=True))
