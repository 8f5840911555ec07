"""The ladder of corrective actions: Algorithm 1 of the stack paper as a pure decision (algorithms.md 9).

Owns which action follows from what was observed, and the state of a request on the ladder. Refuses to observe
and to say when it is time to judge (corrections_window.py), and to act: an action is a value.

Under-performance climbs the ladder, one rung an action, and ends above its last one; a window that reaches
its thresholds goes back to the ground. The paper's "increase" is read as: a threshold that was lowered
because it was not reached is raised again, towards what was asked for, once conditions have recovered.
"""

from dataclasses import dataclass
from math import sqrt
from typing import Final, Literal

import msgspec

from bellwire.core.notices import CorrectiveActionType
from bellwire.core.record import TaggedWord
from bellwire.core.settings import MonitorSettings
from bellwire.transport.corrections_terms import Term

Metric = Literal["rate", "fidelity"]


class Standing(TaggedWord, frozen=True, kw_only=True):
    """Where a request stands on the ladder: all of it that survives a restart."""

    rate: Term | None  # pairs per second, None: no rate was asked for
    fidelity: Term | None  # None: no fidelity was asked for
    steady: bool = False  # the request keeps to what it reserved: its rate is near to what it asked for
    retries: int = 0  # corrective actions since the request last had what it wants
    actions: int = 0  # all corrective actions so far
    acted_ns: int | None = None  # when the last one was decided; None: none yet
    resumes_ns: int | None = None  # end of the last suspension; None: never suspended


@dataclass(frozen=True, slots=True)
class Seen:
    """What one window showed. duration_ns: above 0. fidelity: mean of its pairs, None without any."""

    pairs: int
    duration_ns: int
    fidelity: float | None

    @property
    def rate_hz(self) -> float:
        """Pairs per second."""
        return self.pairs * 1e9 / self.duration_ns


@dataclass(frozen=True, slots=True)
class Decision:
    """An action with its change parameters, the reason, and where the request stands after it."""

    action: CorrectiveActionType
    standing: Standing
    reason: str = ""
    percent: float | None = None  # change of the threshold with its sign, None unless adjust_*


STEADY_ERRORS: Final = 3.0
"""Standard errors by which the pairs of a steady request must be too few: of 20 pairs that are expected as
many as 13 may miss by chance, and a new plan for that would cost more of them."""

CHECKED: Final[tuple[Metric, ...]] = ("rate", "fidelity")


def decide(standing: Standing, seen: Seen, rules: MonitorSettings, now_ns: int) -> Decision:
    """What follows from a window that is long enough, after the cool-down."""
    short = shortfalls(standing, seen, rules)
    if short or _stalled(standing, seen):
        return _climb(_unrecovered(standing), short, seen, rules, now_ns)
    standing = msgspec.structs.replace(standing, retries=0)
    for metric in CHECKED:
        term, value = _term(standing, metric), _value(seen, metric)
        if term is None or value is None:
            continue
        looked = term.looked(value, rules, _tolerance(metric, rules), FLOORS[metric])
        if metric == "rate" and standing.steady and looked.now < term.now:
            continue  # whole lanes bring more than was asked for, and half a lane cannot be given back
        if looked.now != term.now:
            percent = _percent(term, looked)
            reason = _moved(metric, term, looked, value, rules)
            return _adjusted(standing, metric, looked, percent, reason, now_ns)
        standing = _with(standing, metric, looked)
    return Decision("continue", standing)


def shortfalls(standing: Standing, seen: Seen, rules: MonitorSettings) -> dict[Metric, float]:
    """Metrics below their thresholds by more than the tolerance, with the relative shortfall, 0..1; the rate
    of a steady request by more than chance as well."""
    short: dict[Metric, float] = {}
    for metric in CHECKED:
        term, value = _term(standing, metric), _value(seen, metric)
        if term is None or value is None:
            continue
        least = term.now * (1.0 - _tolerance(metric, rules))
        if metric == "rate" and standing.steady:
            least -= STEADY_ERRORS * sqrt(least * 1e9 / seen.duration_ns)
        if value < least:
            short[metric] = 1.0 - value / term.now
    return short


def _stalled(standing: Standing, seen: Seen) -> bool:
    """No pair at all falls short of any terms, those without a rate too."""
    return seen.pairs == 0 and (standing.rate is not None or standing.fidelity is not None)


def _climb(
    standing: Standing, short: dict[Metric, float], seen: Seen, rules: MonitorSettings, now_ns: int
) -> Decision:
    reason = _wanting(standing, short, seen)
    retries = standing.retries
    while retries < len(rules.ladder) and rules.ladder[retries] == "adjust":
        for metric in _worth_lowering(standing, short, seen, rules):
            term = _term(standing, metric)
            lowered = None if term is None else term.lowered(rules, floor=FLOORS[metric])
            if term is not None and lowered is not None:
                percent = _percent(term, lowered)
                standing = msgspec.structs.replace(standing, retries=retries + 1)
                return _adjusted(standing, metric, lowered, percent, reason, now_ns)
        retries += 1  # nothing can be lowered any further: the next rung that is none of these
    after = msgspec.structs.replace(
        standing, retries=retries + 1, actions=standing.actions + 1, acted_ns=now_ns
    )
    if retries >= len(rules.ladder):
        taken = "1 corrective action" if standing.actions == 1 else f"{standing.actions} corrective actions"
        return Decision("terminate", after, f"{reason}, after {taken}")
    rung = rules.ladder[retries]
    assert rung != "adjust"
    return Decision(rung, after, reason)


FLOORS: Final[dict[Metric, float]] = {"rate": 0.0, "fidelity": 0.5}
"""Thresholds stay above these: a pair of fidelity 1/2 need not be entangled."""


def _worth_lowering(
    standing: Standing, short: dict[Metric, float], seen: Seen, rules: MonitorSettings
) -> list[Metric]:
    """Thresholds whose lowering may help, the first choice first: fidelity that is plentiful buys rate."""
    fidelity = standing.fidelity
    plentiful = (
        fidelity is not None
        and seen.fidelity is not None
        and seen.fidelity > fidelity.now * (1.0 + rules.excess)
    )
    lacking = sorted(short, key=lambda metric: -short[metric])
    if "rate" in short and plentiful:
        return ["fidelity", *lacking]
    return lacking or ["fidelity"]  # a request without a rate that has no pairs


def _adjusted(
    standing: Standing, metric: Metric, term: Term, percent: float, reason: str, now_ns: int
) -> Decision:
    moved = _with(standing, metric, term)
    after = msgspec.structs.replace(moved, actions=moved.actions + 1, acted_ns=now_ns)
    return Decision("adjust_rate" if metric == "rate" else "adjust_fidelity", after, reason, percent)


def _unrecovered(standing: Standing) -> Standing:
    """A window that falls short breaks the row of good ones."""
    for metric in CHECKED:
        term = _term(standing, metric)
        if term is not None and term.stood:
            standing = _with(standing, metric, msgspec.structs.replace(term, stood=0))
    return standing


def _term(standing: Standing, metric: Metric) -> Term | None:
    return standing.rate if metric == "rate" else standing.fidelity


def _tolerance(metric: Metric, rules: MonitorSettings) -> float:
    return rules.rate_tolerance if metric == "rate" else rules.fidelity_tolerance


def _value(seen: Seen, metric: Metric) -> float | None:
    return seen.rate_hz if metric == "rate" else seen.fidelity


def _with(standing: Standing, metric: Metric, term: Term) -> Standing:
    if metric == "rate":
        return msgspec.structs.replace(standing, rate=term)
    return msgspec.structs.replace(standing, fidelity=term)


def _percent(before: Term, after: Term) -> float:
    return round(100.0 * (after.now / before.now - 1.0), 6)


def _said(metric: Metric, value: float) -> str:
    return f"{value:.4g} pairs/s" if metric == "rate" else f"fidelity {value:.4g}"


def _moved(metric: Metric, term: Term, looked: Term, value: float, rules: MonitorSettings) -> str:
    """Why a threshold moves although nothing falls short."""
    seen, asked = _said(metric, value), _said(metric, term.asked)
    if looked.now < term.now:
        return f"{seen} exceeds {_said(metric, term.now)} by more than {100.0 * rules.excess:g} %"
    if looked.needed:
        return f"{seen} is less than was asked for, {asked}, since the threshold was lowered"
    return f"{seen} has recovered towards what was asked for, {asked}"


def _wanting(standing: Standing, short: dict[Metric, float], seen: Seen) -> str:
    """What falls short, in one sentence."""
    if seen.pairs == 0:
        return f"no pair in {seen.duration_ns / 1e9:.4g} s"
    parts: list[str] = []
    for metric in short:
        term, value = _term(standing, metric), _value(seen, metric)
        assert term is not None
        assert value is not None
        parts.append(f"{_said(metric, value)} of {_said(metric, term.now)} wanted")
    return " and ".join(parts)
