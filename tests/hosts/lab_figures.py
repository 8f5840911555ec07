"""The figures of one live run of the repeater lab, and everything that must hold of them.

Owns the list of checks. Refuses to run anything: a run directory is handed in.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from math import sqrt
from pathlib import Path
from typing import Any

from bellwire.core.bell import COST_UNIT_PER_NEPER, decay_rates
from bellwire.labs import Lab
from bellwire.planner.plans import predict
from tests.hosts.recorded import RecordedRun, aged_back

SIGMAS = 4.0
"""Statistical checks fail by chance once in 16,000 (two-sided, normal)."""
ESTIMATE_ABOVE_MAX = 0.0005
"""A mean fidelity estimate never promises more than the World has, but for stamps and rounding."""
ESTIMATE_BELOW_MAX = 0.005
"""It may promise a little less: waiting is counted until a measurement's result is told, which takes
milliseconds over a serial line, while the qubits were measured before (1 ms costs 0.0008 here)."""
ESTIMATE_ERROR_MAX = 0.08
"""What the estimate of any single pair may be off by: a measurement told 100 ms late on a busy machine."""


@dataclass(slots=True)
class LabFigures:
    """Figures of one request, and the checks that did not hold."""

    row: dict[str, Any] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)

    def hold(self, condition: bool, what: str) -> None:
        """Note a check that fails."""
        if not condition:
            self.wrong.append(what)


def examine(lab: Lab, run_dir: Path, request: str, *, pairs_min: int, tracked: bool = False) -> LabFigures:
    """Compare both ends, the plan's prediction and the World.

    tracked: frames are kept in the classical record and not corrected, so they must take all four values.
    """
    run = RecordedRun(run_dir)
    figures = LabFigures()
    head_node, tail_node = lab.requests[0].target_nodes
    head, tail = run.delivered(head_node, request), run.delivered(tail_node, request)
    figures.hold(len(head) >= pairs_min, f"{len(head)} pairs, at least {pairs_min} expected")
    figures.hold(sorted(head) == list(range(1, len(head) + 1)), "delivery numbers have holes")
    figures.hold(head.keys() == tail.keys(), f"the ends list {len(head)} and {len(tail)} pairs")
    figures.hold(
        all(
            head[n].ends == tail[n].ends and head[n].frame == tail[n].frame for n in head.keys() & tail.keys()
        ),
        "the ends disagree about a pair or its frame",
    )
    figures.hold(len({pair.ends for pair in head.values()}) == len(head), "a pair was delivered twice")

    known = [(pair, run.truths[pair.ends]) for pair in head.values() if pair.ends in run.truths]
    figures.hold(len(known) == len(head), f"the World saw {len(known)} of {len(head)} pairs")
    frame_errors = sum(pair.frame != truth.frame for pair, truth in known)
    figures.hold(frame_errors == 0, f"{frame_errors} frames differ from the World's")
    frames = sorted({pair.frame for pair, _ in known})
    figures.hold(not tracked or frames == [0, 1, 2, 3], f"only frames {frames} occurred")

    rates = _decay_of_both(lab, head_node, tail_node)
    errors = [pair.fidelity - aged_back(truth, pair.at_ns, rates) for pair, truth in known]
    bias, bias_error = mean_and_error(errors)
    figures.hold(
        bool(errors)
        and -ESTIMATE_BELOW_MAX - SIGMAS * bias_error <= bias <= ESTIMATE_ABOVE_MAX + SIGMAS * bias_error,
        f"estimated minus true fidelity is {bias:.5f} +- {bias_error:.5f}",
    )
    worst = max(map(abs, errors), default=0.0)
    figures.hold(worst <= ESTIMATE_ERROR_MAX, f"one estimate is {worst:.3f} away from the true fidelity")

    told = sorted(pair.told_ns for pair in head.values())
    gaps_s = sorted((later - earlier) / 1e9 for earlier, later in pairwise(told))
    rate_hz, rate_error_hz = rate_and_error(gaps_s)
    expected = predict(lab.network, lab.requests[0])
    predicted_hz = None if isinstance(expected, str) else expected.rate_hz
    swaps = run.swaps()
    results = [swap.result for swap in swaps]
    figures.row = {
        "pairs": len(head),
        "rate (1/s)": rate_hz,
        "standard error (1/s)": rate_error_hz,
        "plan (1/s)": predicted_hz,
        "fidelity estimated": mean_and_error([pair.fidelity for pair, _ in known])[0],
        "fidelity of the World": mean_and_error(
            [aged_back(truth, pair.at_ns, rates) for pair, truth in known]
        )[0],
        "estimate minus World": bias,
        "its standard error": bias_error,
        "frames checked": len(known),
        "frame errors": frame_errors,
        "interval p50 (ms)": 1e3 * quantile(gaps_s, 0.5),
        "interval p95 (ms)": 1e3 * quantile(gaps_s, 0.95),
        "age p50 (ms)": quantile(sorted(pair.age_ns for pair in head.values()), 0.5) / 1e6,
        "swaps tried": len(swaps),
        "swaps failed": results.count("failed"),
        "swaps without word in time": results.count("unknown"),
        "heralds": ", ".join(f"{link} {count}" for link, count in run.heralds().items()),
    }
    return figures


def _decay_of_both(lab: Lab, *nodes: str) -> tuple[float, float, float]:
    memories = {memory.node: memory for memory in lab.world()[1]}
    costs = [
        decay_rates(memories[n].t1_ns, memories[n].t2_ns, memories[n].depolarising_time_ns) for n in nodes
    ]
    first, second, third = (sum(parts) / COST_UNIT_PER_NEPER for parts in zip(*costs, strict=True))
    return first, second, third


def mean_and_error(values: Sequence[float]) -> tuple[float, float]:
    """Mean and its standard error; zeros without values."""
    count = len(values)
    if count == 0:
        return 0.0, 0.0
    mean = sum(values) / count
    spread = sum((value - mean) ** 2 for value in values) / max(1, count - 1)
    return mean, sqrt(spread / count)


def rate_and_error(gaps_s: Sequence[float]) -> tuple[float, float]:
    """Rate of a renewal process from its gaps, and its standard error (delta method)."""
    gap_s, error_s = mean_and_error(gaps_s)
    return (0.0, 0.0) if gap_s <= 0 else (1.0 / gap_s, error_s / gap_s**2)


def quantile(ordered: Sequence[float], share: float) -> float:
    """Order statistic of sorted values; 0 without values."""
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0.0
