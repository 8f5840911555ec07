"""What a lab tells about one repetition, folded into its pairs: reports of a request, or answers to a CREATE.

Owns both foldings and the CREATE that stands for a request on one link. Refuses to ask anybody: reports,
answers and the World's truth are handed in, in any of the three worlds. A truth may come before the report of
its pair or after it.
"""

from collections import OrderedDict
from collections.abc import Mapping
from typing import Any, Final

from bellwire.core.ids import End, NodeId, RequestId
from bellwire.core.link_words import (
    LinkAck,
    LinkAnswer,
    LinkCreate,
    LinkDone,
    LinkErr,
    LinkOkKeep,
    LinkOkMeasure,
)
from bellwire.core.plans import EntanglementRequest
from bellwire.core.settings import LinkSettings
from bellwire.study.lab_experiments_samples import COMPLETED, Pairs

FINAL: Final = frozenset({COMPLETED, "failed", "cancelled"})
CREATE_PAIRS_MAX: Final = 65_535

TRUTHS_MAX: Final = 10_000
"""Pairs that the World has shown and no report has named yet; the oldest is forgotten."""

Name = frozenset[End]


class Truths:
    """What the World shows of pairs, matched with what is told of them by their two ends."""

    def __init__(self, pairs: Pairs) -> None:
        self._pairs = pairs
        self._shown: OrderedDict[Name, tuple[int, float]] = OrderedDict()
        self._told: dict[Name, tuple[str, int]] = {}  # not shown yet: its name in `pairs`, and its frame

    @property
    def missing(self) -> int:
        """Pairs that were told and not shown yet."""
        return len(self._told)

    def tell(self, ends: Name, name: str, frame: int) -> None:
        """A pair was told; the frame that it should have when it is handed over."""
        shown = self._shown.pop(ends, None)
        if shown is None:
            self._told[ends] = (name, frame)
        else:
            self._compare(name, frame, *shown)

    def show(self, one: End, other: End, frame: int, fidelity: float) -> None:
        """The first end that is used up shows the pair as it was; the second one shows nothing new."""
        ends = frozenset((one, other))
        told = self._told.pop(ends, None)
        if told is None:
            self._shown.setdefault(ends, (frame, fidelity))
            if len(self._shown) > TRUTHS_MAX:
                self._shown.popitem(last=False)
        else:
            self._compare(*told, frame, fidelity)

    def _compare(self, name: str, frame: int, true_frame: int, fidelity: float) -> None:
        if name in self._pairs.times_ns and name not in self._pairs.true_fidelities:
            self._pairs.true_fidelities[name] = fidelity
            self._pairs.frame_errors += frame != true_frame


class RequestFolding:
    """The reports of a request's source. corrected: the tail brings pairs to Phi+ before they are used."""

    def __init__(
        self, request: EntanglementRequest, submitted_ns: int, *, correct_frames: bool = True
    ) -> None:
        self.source: NodeId = request.target_nodes[0]
        self.request_id: RequestId = request.request_id
        self.pairs = Pairs(submitted_ns=submitted_ns)
        self.truths = Truths(self.pairs)
        self._request = request
        self._corrected = correct_frames and request.consumption == "keep"

    @property
    def ended(self) -> bool:
        """It has come to its end."""
        return self.pairs.status in FINAL

    def take(self, at_ns: int, name: str, request: str | None, fields: Mapping[str, Any]) -> None:
        """One report of the source. One that is known changes nothing."""
        pairs = self.pairs
        if request != self.request_id:
            return
        match name:
            case "pair_delivered" if not self.ended and str(fields["number"]) not in pairs.times_ns:
                number = str(fields["number"])
                pairs.times_ns[number] = at_ns
                pairs.fidelities[number] = float(fields["fidelity"])
                ends = frozenset((end_named(fields["head_end"]), end_named(fields["tail_end"])))
                self.truths.tell(ends, number, 0 if self._corrected else int(fields["frame"]))
            case "pair_void":
                pairs.void(str(fields["number"]))
            case "request_status" if not self.ended:
                pairs.status = str(fields["status"])
                error = fields.get("error_message")
                pairs.error = None if error is None else str(error)
                if self.ended:
                    self._end(at_ns)
            case "plan_failed" if not self.ended:
                pairs.status, pairs.error = "planning", str(fields["reason"])
            case "plan_active":
                pairs.error = None
                pairs.predicted_rate_hz = float(fields["rate_hz"] or 0.0)
                pairs.predicted_fidelity = float(fields["fidelity"] or 0.0)
            case _:
                pass

    def give_up(self, now_ns: int, why: str) -> None:
        """Nobody looks any longer. A request whose time is over has done its work."""
        if self.ended:
            return
        pairs = self.pairs
        if self._request.duration_ns is not None and pairs.predicted_rate_hz is not None:
            pairs.status, pairs.error = COMPLETED, None
        else:
            pairs.status, pairs.error = "failed", pairs.error or why
        self._end(now_ns)

    def _end(self, at_ns: int) -> None:
        count = self._request.count
        self.pairs.ended_ns = at_ns
        self.pairs.ends_by_clock = count is None or len(self.pairs.times_ns) < count


class CreateFolding:
    """The answers to a CREATE at the end that sent it."""

    def __init__(
        self, asked: LinkCreate, source: NodeId, submitted_ns: int, *, by_clock: bool = False
    ) -> None:
        """by_clock: the deadline is its end, and no failure."""
        self.source = source
        self.asked = asked
        self.pairs = Pairs(submitted_ns=submitted_ns)
        self.truths = Truths(self.pairs)
        self._by_clock = by_clock

    @property
    def ended(self) -> bool:
        """It has had its last answer."""
        return self.pairs.status in FINAL

    def take(self, at_ns: int, answer: LinkAnswer) -> None:
        """One answer. Those to a CREATE of the other end that has the same id are none of ours."""
        if answer.create != self.asked.create or (
            not isinstance(answer, LinkAck) and answer.origin != self.source
        ):
            return
        pairs = self.pairs
        match answer:
            case LinkOkKeep() | LinkOkMeasure() if not self.ended:
                name = str(answer.end)
                pairs.times_ns[name] = at_ns
                pairs.fidelities[name] = answer.goodness
                self.truths.tell(frozenset((answer.end, answer.end.partner)), name, answer.frame)
            case LinkErr(code="EXPIRE"):
                for end in answer.ends:
                    pairs.void(str(end))
            case LinkDone():
                self._end(at_ns, COMPLETED, None)
            case LinkErr(code="TIMEOUT") if self._by_clock:
                pairs.ends_by_clock = True
                self._end(at_ns, COMPLETED, None)
            case LinkErr():
                pairs.ends_by_clock = True
                self._end(at_ns, "failed", f"{answer.code} ({answer.where}): {answer.reason}")
            case _:
                pass  # an ACK, or a pair after the end

    def give_up(self, now_ns: int, why: str) -> None:
        """Nobody looks any longer. A CREATE whose time is over has done its work."""
        if not self.ended:
            self.pairs.ends_by_clock = True
            self._end(now_ns, COMPLETED if self._by_clock else "failed", None if self._by_clock else why)

    def _end(self, at_ns: int, status: str, error: str | None) -> None:
        if not self.ended:
            self.pairs.ended_ns, self.pairs.status, self.pairs.error = at_ns, status, error


def create_of(
    request: EntanglementRequest,
    link: LinkSettings,
    create: int,
    partner: NodeId,
    fidelity_min: float | None,
    within_ns: int,
) -> LinkCreate:
    """The CREATE that asks one link for what the request asks the whole route.

    Pairs are measured at once at both ends, so that no memory waits for its user and the rate is the link's
    own. For a time, more pairs are asked for than the link can make in it.
    """
    most = max(1, within_ns // link.period_ns * link.lanes)
    return LinkCreate(
        create=create,
        partner=partner,
        kind="measure",
        count=min(CREATE_PAIRS_MAX, most if request.count is None else request.count),
        fidelity_min=fidelity_min,
        within_ns=within_ns,
    )


def end_named(text: str) -> End:
    """The end that a report names, `LINK/RUN.ATTEMPT.LANE:SIDE`."""
    link, _, rest = text.rpartition("/")
    numbers, _, side = rest.partition(":")
    run, attempt, lane = numbers.split(".")
    return End(link, int(run), int(attempt), int(lane), int(side))
