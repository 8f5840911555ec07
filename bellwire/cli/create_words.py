"""The answers to one CREATE: gathered, and said in words.

Owns the picture of a CREATE as its answers tell it. Refuses to ask anybody: answers are handed in.
"""

from collections.abc import Mapping
from typing import Any, Final, Literal

import msgspec

from bellwire.core.ids import End, LinkId, NodeId
from bellwire.core.link_words import (
    LinkAck,
    LinkAnswer,
    LinkCreate,
    LinkDone,
    LinkErr,
    LinkOkKeep,
    LinkOkMeasure,
)

BELL_STATES: Final = ("Phi+", "Phi-", "Psi+", "Psi-")


class CreatePicture:
    """One CREATE of one user, from its first answer to its last."""

    def __init__(self, asked: LinkCreate, source: NodeId, link: LinkId) -> None:
        self.asked = asked
        self.source = source
        self.link = link
        self.status: Literal["waiting", "done", "failed", "cancelled"] = "waiting"
        self.error = ""
        self.acknowledged = False
        self.pairs: dict[End, LinkOkKeep | LinkOkMeasure] = {}  # told with OK and not taken back
        self.expired = 0  # pairs that were taken back
        self.code: str | None = None
        self._unreleased: list[End] = []
        self._first_ns: int | None = None
        self._last_ns: int | None = None

    def take(self, at_ns: int, told: Mapping[str, Any]) -> list[str]:
        """One answer, as the control channel has it; returns lines that say it. Answers to a CREATE of the
        other end that has the same id are none of ours."""
        answer: LinkAnswer = msgspec.convert(told, LinkAnswer)
        if not isinstance(answer, LinkAck) and answer.origin != self.source:
            return []
        match answer:
            case LinkAck():
                self.acknowledged = True
                self.link = answer.link
                return [
                    f"ACK: {self.source} and {self.asked.partner} have it, number {answer.number} of queue "
                    f"{answer.queue} of {answer.link}"
                ]
            case LinkOkKeep():
                self._told(at_ns, answer)
                if self.asked.hold_ns is None:
                    self._unreleased.append(answer.end)
                return [f"OK {answer.sequence}: kept in slot {answer.slot}, {_quality(answer)}"]
            case LinkOkMeasure():
                self._told(at_ns, answer)
                return [f"OK {answer.sequence}: {answer.basis} gave {answer.bit}, {_quality(answer)}"]
            case LinkDone():
                if self.status == "waiting":
                    self.status = "done"
                return [f"done: {answer.pairs} pairs{self._rate()}"]
            case LinkErr(code="EXPIRE"):
                for end in answer.ends:
                    self.pairs.pop(end, None)
                self.expired += len(answer.ends)
                return [f"EXPIRE: {len(answer.ends)} pairs are taken back ({answer.reason})"]
            case LinkErr():
                if self.status == "waiting":
                    self.status = "failed"
                self.code = answer.code
                self.error = f"{answer.code} ({answer.where}): {answer.reason}"
                return [f"ERR {self.error}"]

    def cancelled(self) -> None:
        """The user withdraws it."""
        self.status = "cancelled"

    def to_release(self) -> list[End]:
        """Kept qubits that the user has seen and does not want to hold; each is named once."""
        ends, self._unreleased = self._unreleased, []
        return ends

    def kept(self) -> list[End]:
        """Qubits that were told and not taken back, whether or not they were let go since."""
        return [end for end, answer in self.pairs.items() if isinstance(answer, LinkOkKeep)]

    def document(self) -> dict[str, Any]:
        """Everything, ready for JSON."""
        return {
            "create": self.asked.create,
            "from": self.source,
            "to": self.asked.partner,
            "link": self.link,
            "kind": self.asked.kind,
            "status": self.status,
            "acknowledged": self.acknowledged,
            "code": self.code,
            "error": self.error or None,
            "expired": self.expired,
            "pairs": [_pair(end, answer) for end, answer in self.pairs.items()],
        }

    def _told(self, at_ns: int, answer: LinkOkKeep | LinkOkMeasure) -> None:
        self.pairs[answer.end] = answer
        self._first_ns = at_ns if self._first_ns is None else self._first_ns
        self._last_ns = at_ns

    def _rate(self) -> str:
        if self._first_ns is None or self._last_ns is None or self._last_ns <= self._first_ns:
            return ""
        rate_hz = (len(self.pairs) - 1) * 1e9 / (self._last_ns - self._first_ns)
        return f", {rate_hz:.1f} pairs/s from the first one on"


def _quality(answer: LinkOkKeep | LinkOkMeasure) -> str:
    age_s = max(0, answer.born_ns - answer.goodness_at_ns) / 1e9
    estimate = f", as estimated {age_s:.1f} s before" if answer.goodness_at_ns else ", as modelled"
    return (
        f"attempt {answer.end.attempt} lane {answer.end.lane}, Bell state {BELL_STATES[answer.frame]}, "
        f"fidelity {answer.goodness:.3f}{estimate}"
    )


def _pair(end: End, answer: LinkOkKeep | LinkOkMeasure) -> dict[str, Any]:
    shared = {
        "pair": [end.link, end.run, end.attempt, end.lane],
        "sequence": answer.sequence,
        "frame": answer.frame,
        "fidelity": answer.goodness,
        "fidelity_at_ns": answer.goodness_at_ns,
        "born_ns": answer.born_ns,
    }
    if isinstance(answer, LinkOkKeep):
        return shared | {"slot": answer.slot}
    return shared | {"basis": answer.basis, "bit": answer.bit}
