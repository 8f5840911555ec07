"""The requests of a running lab as its reports tell them, for the screen and for the summary.

Owns the bookkeeping of reports and the comparison with the emulated World. Refuses to ask anybody: reports
are handed in, and it never decides what a lab does.
"""

import json
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bellwire.cli.figures import mean, percentile, standard_error
from bellwire.core.graph_states import with_node_edges
from bellwire.core.ids import RequestId
from bellwire.core.plans import EntanglementRequest, Prediction, sequence_of

if TYPE_CHECKING:
    from bellwire.labs import Lab

LATEST_PAIRS = 20
"""Pairs kept for the live table."""
CORRECTION_FIELDS = ("action", "percent", "suspended_ns", "reason", "rate_wanted_hz", "fidelity_wanted")
"""What is shown of a corrective action."""
FINAL = frozenset({"completed", "failed", "cancelled"})
"""States in which a request stays."""


@dataclass(slots=True)
class RequestPicture:
    """What has been seen of one request."""

    request: EntanglementRequest
    prediction: Prediction | None  # None: the planner sees no way
    submitted_ns: int | None = None  # unix time; None: not yet
    status: str = "waiting"
    admission: str = "pending"  # accepted, queued or rejected, as its source has said
    error: str | None = None
    earlier: int = 0  # pairs that an earlier run with the same records had delivered
    delivered_ns: dict[int, int] = field(default_factory=dict)  # delivery number -> when
    fidelities: list[float] = field(default_factory=list)  # as the network estimated them
    true_fidelities: list[float] = field(default_factory=list)  # as the World knows them
    frames: dict[frozenset[str], int] = field(default_factory=dict)  # the two ends -> frame that was reported
    states: set[str] = field(default_factory=set)  # delivered GHZ states, by their end at the source
    voided: set[int] = field(default_factory=set)  # numbers of pairs that were taken back
    measured_links: tuple[str, ...] = ()  # whose measured figures the prediction rests on; else the lab file
    frame_errors: int = 0
    corrections: list[dict[str, Any]] = field(default_factory=list)  # corrective actions, see row()

    @property
    def in_order(self) -> bool:
        """A sequence of pairs, each made by a request of its own."""
        return bool(self.request.entanglement_sequence)

    @property
    def what(self) -> str:
        """The noun for what is delivered."""
        return {"bipartite": "pairs", "ghz": "GHZ states", "graph": "graph states"}[
            self.request.entanglement_type
        ]

    @property
    def delivered(self) -> int:
        """Pairs delivered in this run that still count."""
        return len(self.delivered_ns) - len(self.voided)

    @property
    def gaps_s(self) -> list[float]:
        """Seconds between one delivery and the next."""
        return [(later - earlier) / 1e9 for earlier, later in pairwise(sorted(self.delivered_ns.values()))]

    @property
    def rate_hz(self) -> float | None:
        """Pairs per second since the first one: before it, hardware was armed; None for fewer than two."""
        gaps_s = self.gaps_s
        return len(gaps_s) / sum(gaps_s) if sum(gaps_s) > 0 else None

    def take_plan(self, fields: Mapping[str, Any]) -> None:
        """A plan is in force: what it promises takes the place of what the lab file promised."""
        self.prediction = Prediction(
            rate_hz=fields["rate_hz"],
            latency_ns=fields["latency_ns"],
            fidelity=fields["fidelity"],
            hops=0 if self.prediction is None else self.prediction.hops,
        )
        self.measured_links = tuple(fields["measured_links"].split())

    def take_correction(self, at_ns: int, fields: Mapping[str, Any]) -> None:
        """A corrective action was taken; `at_s` counts from submission, None where that was not seen."""
        at_s = None if self.submitted_ns is None else (at_ns - self.submitted_ns) / 1e9
        self.corrections.append({"at_s": at_s} | {name: fields[name] for name in CORRECTION_FIELDS})

    def row(self) -> dict[str, Any]:
        """The figures, named as in the report of a simulation. Latencies are times between deliveries."""
        gaps_s, times, begun = self.gaps_s, self.delivered_ns.values(), self.submitted_ns
        first_s = None if begun is None or not times else (min(times) - begun) / 1e9
        last_s = None if begun is None or not times else (max(times) - begun) / 1e9
        prediction = self.prediction
        return {
            "status": self.status,
            "error": self.error,
            "mode": self.request.generation_mode,
            "members": list(self.request.target_nodes),
            **({"edges": [list(edge) for edge in self.request.edges]} if self.request.edges else {}),
            **({"pairs_in_order": len(self.request.entanglement_sequence)} if self.in_order else {}),
            "admission": self.admission,
            "asked": len(self.request.entanglement_sequence) or self.request.count,
            "delivered": self.delivered,
            "delivered_by_earlier_runs": self.earlier,
            "voided": len(self.voided),
            "rate_hz": self.rate_hz,
            "rate_from_submission_hz": len(times) / last_s if last_s else None,
            "predicted_rate_hz": None if prediction is None else prediction.rate_hz,
            "measured_links": list(self.measured_links),
            "fidelity_mean": mean(self.fidelities),
            "fidelity_standard_error": standard_error(self.fidelities),
            "fidelity_true_mean": mean(self.true_fidelities),
            "fidelity_true_standard_error": standard_error(self.true_fidelities),
            "fidelity_predicted": None if prediction is None else prediction.fidelity,
            "first_pair_s": first_s,
            "latency_s": {f"p{percent}": percentile(gaps_s, percent) for percent in (50, 95, 99)},
            "frames_checked": len(self.true_fidelities),
            "frame_errors": self.frame_errors,
            "corrections": list(self.corrections),
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
        self._parts: dict[RequestId, Mapping[str, Any]] = {}  # pairs of sequences before their use

    def submitted(self, now_ns: int) -> None:
        """The requests have been handed to the lab."""
        for seen in self.requests.values():
            seen.submitted_ns, seen.status = now_ns, "submitted"

    def take(self, reports: Iterable[Mapping[str, Any]]) -> None:
        """Fold reports: `node`, `name`, `request`, `at_ns`, `fields`. One that is known changes nothing."""
        for report in reports:
            seen = self.requests.get(report["request"] or "")
            if seen is None or seen.in_order:
                self._take_part(report)
            if seen is not None and report["node"] == seen.request.target_nodes[0]:
                self._take_one(seen, report)

    def take_recorded(self, run_dir: Path) -> None:
        """Begin again from what a run has recorded.

        Among it are the last reports and those of killed processes, for which nobody may have asked in time.
        """
        found: list[dict[str, Any]] = []
        for path in sorted(run_dir.glob("agents/*/reports-*.jsonl")):
            for line in path.read_text(encoding="utf-8").splitlines(keepends=True):
                if line.endswith("\n"):  # a killed process may leave half a line
                    found.append(json.loads(line) | {"node": path.parent.name})
        for name, seen in self.requests.items():
            fresh = RequestPicture(seen.request, seen.prediction, seen.submitted_ns, seen.status)
            self.requests[name] = fresh
        self.latest.clear()
        self._parts.clear()
        self.take(sorted(found, key=lambda report: report["at_ns"]))

    def _take_part(self, report: Mapping[str, Any]) -> None:
        """A pair of a sequence counts when it is consumed, as the node that gave it away tells."""
        name, fields = report["name"], report["fields"]
        if name == "pair_delivered" and fields["role"] == "head":
            if sequence_of(report["request"] or "") in self.requests:
                self._parts[report["request"]] = report
        elif name in ("pair_consumed", "pair_let_go") and fields["part"] in self._parts:
            told = self._parts[fields["part"]]
            if told["node"] != report["node"]:
                return
            del self._parts[fields["part"]]
            seen = self.requests[report["request"]]
            if name == "pair_consumed":
                number = len(seen.delivered_ns) + 1
                self._take_one(seen, {**told, "fields": {**told["fields"], "number": number}})

    def _take_one(self, seen: RequestPicture, report: Mapping[str, Any]) -> None:
        fields: dict[str, Any] = report["fields"]
        number = fields.get("number")
        if report["name"] == "request_status":
            seen.status, seen.error = fields["status"], fields["error_message"]
            if not seen.in_order:  # other nodes tell of the pairs of a sequence, perhaps later
                seen.earlier = max(seen.earlier, (fields["generated_count"] or 0) - len(seen.delivered_ns))
        elif report["name"] == "request_admission":
            seen.admission = fields["admission"]
            if fields["admission"] == "queued":
                seen.status, seen.error = "queued", fields["reason"]
        elif report["name"] == "plan_active":
            seen.take_plan(fields)
        elif report["name"] == "plan_failed" and seen.status not in (*FINAL, "queued"):
            seen.status, seen.error = "planning", fields["reason"]
        elif report["name"] == "pair_delivered" and number not in seen.delivered_ns:
            seen.delivered_ns[fields["number"]] = report["at_ns"]
            seen.fidelities.append(fields["fidelity"])
            if seen.request.entanglement_type == "bipartite":
                seen.frames[frozenset((fields["head_end"], fields["tail_end"]))] = fields["frame"]
            else:
                seen.states.add(fields["head_end"])
            self.latest.append({"request": report["request"], **fields})
        elif report["name"] == "pair_void":
            seen.voided.add(fields["number"])
        elif report["name"] == "corrective_action":
            seen.take_correction(report["at_ns"], fields)

    def ended(self) -> bool:
        """True when every request has come to its end."""
        return all(seen.status in FINAL for seen in self.requests.values())

    def good(self) -> bool:
        """True when every request was completed and no pair had a wrong frame."""
        return all(seen.status == "completed" for seen in self.requests.values()) and not self.frame_errors

    @property
    def frame_errors(self) -> int:
        """Pairs whose reported frame was not the true one."""
        return sum(seen.frame_errors for seen in self.requests.values())

    def take_truth(self, path: Path) -> None:
        """Compare delivered pairs with what the emulated World wrote about them, if it did.

        A pair is known by its two ends. The first of them that is released or measured shows it as it was
        handed over: its frame is the reported one (0 once the tail has corrected it). A GHZ state is known by
        its end at the source, which is released first and when all members have corrected theirs.
        """
        if not path.exists():
            return
        waiting = {
            ends: (seen, frame) for seen in self.requests.values() for ends, frame in seen.frames.items()
        }
        corrected = self.lab.network.correct_frames  # else what was handed over is not the plain GHZ state
        states = {end: seen for seen in self.requests.values() for end in seen.states if corrected}
        for line in path.read_text(encoding="utf-8").splitlines(keepends=True):
            if not line.endswith("\n"):
                continue
            entry = json.loads(line)
            if "group" in entry:
                if entry["operation"] == "release":  # a fusion measures in the midst of what it makes
                    self._take_group(states, entry["group"])
                continue
            truth = entry["truth"]
            if truth is None or entry["operation"].startswith(("pauli", "rotation")):
                continue
            told = waiting.pop(frozenset(_end_name(*end) for end in truth["ends"]), None)
            if told is None:
                continue
            seen, frame = told
            seen.true_fidelities.append(truth["fidelity"])
            seen.frame_errors += truth["frame"] != frame

    @staticmethod
    def _take_group(states: dict[str, RequestPicture], group: Mapping[str, Any]) -> None:
        for end in group["ends"]:
            seen = states.pop(_end_name(*end), None)
            if seen is not None:
                whole = len(group["ends"]) == len(seen.request.target_nodes)
                fidelity, plain = group["ghz_fidelity"], group["frame_zero"]
                edges = with_node_edges(seen.request).edges
                if whole and edges:
                    from bellwire.simulator_backend.world_fusions import GroupTruth  # numpy behind it

                    truth = GroupTruth.of_parts((), tuple(group["nodes"]), group["density"])
                    fidelity, plain = truth.of_graph(edges)
                seen.true_fidelities.append(fidelity if whole else 0.0)
                seen.frame_errors += not (whole and plain)

    def rows(self) -> dict[str, dict[str, Any]]:
        """The figures of every request."""
        return {name: seen.row() for name, seen in self.requests.items()}


def _end_name(link: str, run: int, attempt: int, lane: int, side: int) -> str:
    from bellwire.core.ids import End

    return str(End(link, run, attempt, lane, side))
