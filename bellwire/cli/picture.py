"""A running lab as its reports tell it: links, requests and the latest pairs, for the live table and the
summary.

Owns the bookkeeping of reports. Refuses to ask anybody: reports are handed in, and it never decides what a
lab does.
"""

import json
from collections import deque
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bellwire.core.ids import NodeId, RequestId
from bellwire.core.plans import EntanglementRequest, Prediction

if TYPE_CHECKING:
    from rich.console import RenderableType

    from bellwire.labs import Lab

LATEST_PAIRS = 10
"""Pairs shown in the live table."""
FINAL = frozenset({"completed", "failed", "cancelled"})
"""States in which a request stays."""


@dataclass(slots=True)
class RequestPicture:
    """What has been seen of one request."""

    request: EntanglementRequest
    prediction: Prediction | None  # None: the planner sees no way
    status: str = "submitted"
    error: str | None = None
    delivered_ns: list[int] = field(default_factory=list)
    fidelities: list[float] = field(default_factory=list)
    true_fidelities: list[float] = field(default_factory=list)
    frames: dict[int, int] = field(default_factory=dict)  # delivery number -> frame that the head reported
    voided: int = 0
    frame_errors: int = 0

    def row(self) -> dict[str, Any]:
        """The figures, named as in the report of a simulation.

        Rate and latencies count from the first delivery: before it lies the arming of hardware, which takes
        seconds.
        """
        pairs = len(self.delivered_ns)
        gaps_s = sorted((later - earlier) / 1e9 for earlier, later in pairwise(self.delivered_ns))
        prediction = self.prediction
        return {
            "status": self.status,
            "error": self.error,
            "delivered": pairs - self.voided,
            "voided": self.voided,
            "rate_hz": len(gaps_s) / sum(gaps_s) if sum(gaps_s) > 0 else None,
            "predicted_rate_hz": None if prediction is None else prediction.rate_hz,
            "fidelity_mean": _mean(self.fidelities),
            "fidelity_true_mean": _mean(self.true_fidelities),
            "fidelity_predicted": None if prediction is None else prediction.fidelity,
            "latency_s": {
                "p50": gaps_s[len(gaps_s) // 2] if gaps_s else None,
                "p95": gaps_s[len(gaps_s) * 95 // 100] if gaps_s else None,
            },
            "frames_checked": len(self.true_fidelities),
            "frame_errors": self.frame_errors,
        }


class LabPicture:
    """Reports of all nodes folded into what people want to see."""

    def __init__(self, lab: "Lab", requests: tuple[EntanglementRequest, ...]) -> None:
        from bellwire.planner.plans import predict

        self.lab = lab
        self.requests: dict[RequestId, RequestPicture] = {}
        for request in requests:
            expected = predict(lab.network, request)
            known = None if isinstance(expected, str) else expected
            self.requests[request.request_id] = RequestPicture(request, known)
        self.latest: deque[dict[str, Any]] = deque(maxlen=LATEST_PAIRS)
        self.counts: dict[tuple[NodeId, str], int] = {}

    def take(self, reports: list[dict[str, Any]]) -> None:
        """Fold reports: `node`, `name`, `request`, `at_ns`, `fields`."""
        for report in reports:
            place = (report["node"], report["name"])
            self.counts[place] = self.counts.get(place, 0) + 1
            seen = self.requests.get(report["request"] or "")
            if seen is not None:
                self._take_one(seen, report)

    def _take_one(self, seen: RequestPicture, report: dict[str, Any]) -> None:
        fields: dict[str, Any] = report["fields"]
        at_source = report["node"] == seen.request.target_nodes[0]
        if report["name"] == "request_status":
            seen.status, seen.error = fields["status"], fields["error_message"]
        elif report["name"] == "pair_delivered" and at_source:
            seen.delivered_ns.append(report["at_ns"])
            seen.fidelities.append(fields["fidelity"])
            seen.frames[fields["number"]] = fields["frame"]
            self.latest.append({"request": report["request"], **fields})
        elif report["name"] == "pair_void" and at_source:
            seen.voided += 1

    def ended(self) -> bool:
        """True when every request has come to its end."""
        return all(seen.status in FINAL for seen in self.requests.values())

    def good(self) -> bool:
        """True when every request was completed and no pair had a wrong frame."""
        return all(seen.status == "completed" and not seen.frame_errors for seen in self.requests.values())

    def take_truth(self, path: Path) -> None:
        """Compare delivered pairs with what the emulated World wrote about them, if it did.

        A head's qubit is released with the number of its delivery; the pair's frame must be the reported one,
        or 0 when the tail has corrected it.
        """
        if not path.exists():
            return
        heads = {seen.request.target_nodes[0]: seen for seen in self.requests.values()}
        for line in path.read_text(encoding="utf-8").splitlines():
            entry = json.loads(line)
            seen = heads.get(entry["node"])
            if seen is None or entry["operation"] != "release" or entry["truth"] is None:
                continue
            frame = seen.frames.get(entry["tag"])
            if frame is not None:
                seen.true_fidelities.append(entry["truth"]["fidelity"])
                seen.frame_errors += entry["truth"]["frame"] not in (0, frame)

    def rows(self) -> dict[str, dict[str, Any]]:
        """The figures of every request."""
        return {name: seen.row() for name, seen in self.requests.items()}

    def drawing(self) -> "RenderableType":
        """The live table: requests above, the latest pairs below."""
        from rich.console import Group

        from bellwire.cli import show

        pairs = show.table(
            "Latest pairs",
            ["request", "number", "head end", "tail end", "frame", "fidelity", "age ms"],
            [
                [
                    pair["request"],
                    pair["number"],
                    pair["head_end"],
                    pair["tail_end"],
                    pair["frame"],
                    show.fidelity(pair["fidelity"]),
                    pair["age_ns"] / 1e6,
                ]
                for pair in reversed(self.latest)
            ],
        )
        return Group(show.request_table(self.rows()), pairs)


def _mean(values: list[float]) -> float | None:
    return sum(values) / len(values) if values else None
