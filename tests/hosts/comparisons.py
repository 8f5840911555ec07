"""Live against virtual: the scripted lab, the free lab with live latencies, and what counts as the same.

Owns the two comparisons and their tolerances. Refuses to choose how long: tests run them short, the benchmark
long.
"""

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import hypot
from pathlib import Path
from typing import Any

from bellwire.core.plans import EntanglementRequest
from bellwire.core.units import ns_from_s
from bellwire.labs import Lab, lab_from_document
from tests.hosts.histories import Histories, live_histories, run_virtual
from tests.hosts.lab_figures import mean_and_error
from tests.hosts.latencies import Latencies
from tests.hosts.live import asked, lab_up, live_lab, wait_for
from tests.hosts.recorded import RecordedRun

END_NODES = ("alice", "bob")
SCRIPTED = "scripted"
SIGMAS = 4.0
"""Per comparison a false alarm once in 16,000 (two-sided, normal)."""
BLOCK = 12
"""Neighbouring pairs share their queues, so errors are taken from the means of so many in a row."""
FIDELITY_MODEL_ERROR = 0.012
RATE_MODEL_ERROR = 0.08
"""What a constant extra delay may miss of latencies that vary: 0.012 of fidelity is 15 ms of storage, 8
percent of the rate is 2.5 ms on each interval between deliveries. Both are for one repeater; several in a row
miss as much each."""


# ---- heralds by the calendar


def scripted(sections: dict[str, Any]) -> None:
    """Three lanes, heralds 90 ms apart, three of ten Bell measurements fail, frames stay in the record.

    Two pairs of the first link wait when the first of the second comes, so that the relay has a choice.
    """
    sections["nodes"]["relay"]["memory"] = {"bsm_success_probability": 0.7}
    sections["correct_frames"] = False
    for link in sections["links"].values():
        link.update(lanes=3, attempt_period_us=900)
    offsets = {"alice-relay": [0, 100, 400], "relay-bob": [200, 300, 500]}
    sections["scenario"] = {"scripted_heralds": {"every_attempts": 600, "offset_attempts": offsets}}
    del sections["requests"][0]["fidelity_min"]


async def run_scripted(folder: Path, count: int) -> tuple[Lab, EntanglementRequest, RecordedRun]:
    """The scripted lab live, until `count` pairs are delivered."""
    lab = live_lab(folder, change=scripted)
    request = asked(lab, SCRIPTED, count=count)
    async with lab_up(lab, folder / "state") as live:

        async def second_is_young() -> bool:
            return time.time_ns() % 10**9 < 10**8

        # Runs begin on whole seconds, at least 0.4 s ahead: both links must meet the same one, as they do in
        # virtual time, which begins at 0.
        await wait_for(second_is_young, "the begin of a second")
        await live.supervisor.submit(request)
        assert await live.ended(SCRIPTED) == "completed"
    return lab, request, RecordedRun(live.supervisor.run_dir)


def both_histories(lab: Lab, request: EntanglementRequest, run: RecordedRun) -> tuple[Histories, Histories]:
    """Live and virtual, without what began after the last delivered pair and was cut off by its delivery."""
    live = live_histories(run, request.request_id, END_NODES)
    virtual = run_virtual(lab, request, ns_from_s(10 + (request.count or 0))).histories
    return (
        live.begun_before(live.last_complete_attempt()),
        virtual.begun_before(virtual.last_complete_attempt()),
    )


def differences(live: Histories, virtual: Histories) -> list[str]:
    """One line for each link pair and each delivery that is not the same."""
    found = [
        f"pair {pair}: live {live.pairs.get(pair)}, virtual {virtual.pairs.get(pair)}"
        for pair in sorted(live.pairs.keys() | virtual.pairs.keys())
        if live.pairs.get(pair) != virtual.pairs.get(pair)
    ]
    for node in sorted(live.deliveries.keys() | virtual.deliveries.keys()):
        one, other = live.deliveries.get(node, {}), virtual.deliveries.get(node, {})
        found += [
            f"delivery {number} at {node}: live {one.get(number)}, virtual {other.get(number)}"
            for number in sorted(one.keys() | other.keys())
            if one.get(number) != other.get(number)
        ]
    return found


# ---- the free World


@dataclass(frozen=True, slots=True)
class Sample:
    """Rate and mean fidelity of one run with their standard errors."""

    pairs: int
    interval_s: float
    interval_error_s: float
    fidelity: float
    fidelity_error: float

    @property
    def rate_hz(self) -> float:
        """Deliveries per second from the first on."""
        return 1.0 / self.interval_s if self.interval_s > 0 else 0.0


def sample(told_ns: Sequence[int], fidelities: Sequence[float]) -> Sample:
    """Figures of deliveries in the order of time."""
    gaps_s = [(later - earlier) / 1e9 for earlier, later in pairwise(told_ns)]
    interval_s, interval_error_s = mean_and_error(_blocks(gaps_s))
    fidelity, fidelity_error = mean_and_error(_blocks(fidelities))
    return Sample(len(told_ns), interval_s, interval_error_s, fidelity, fidelity_error)


def _blocks(values: Sequence[float]) -> list[float]:
    whole = len(values) // BLOCK * BLOCK
    return [sum(values[at : at + BLOCK]) / BLOCK for at in range(0, whole, BLOCK)]


def live_sample(run: RecordedRun, request: str) -> Sample:
    """Figures of a run directory, as the head's node reported them."""
    pairs = sorted(run.delivered("alice", request).values(), key=lambda pair: pair.told_ns)
    return sample([pair.told_ns for pair in pairs], [pair.fidelity for pair in pairs])


def virtual_sample(lab: Lab, seconds: float) -> Sample:
    """Figures of the lab in virtual time."""
    seen = run_virtual(lab, asked(lab, "free", duration_ns=ns_from_s(seconds)), ns_from_s(seconds + 3))
    return sample(seen.delivered_ns, seen.fidelities)


def with_latencies(lab: Lab, measured: Latencies, lanes: int | None = None) -> Lab:
    """The same lab with the live run's mean latencies: messages and heralds as extra delay, Bell
    measurements."""
    document = json.loads(json.dumps(lab.document))
    extra_ns = _mean(measured.messages) + _mean(measured.heralds)
    document["classical"]["extra_ms"] = extra_ns / 1e6
    for node in document["nodes"].values():
        node["memory"]["bsm_duration_us"] = _mean(measured.bell) / 1e3
    for link in document["links"].values():
        link["lanes"] = lanes or link["lanes"]
    return lab_from_document(document, live=True)


def _mean(values: Sequence[int]) -> float:
    return sum(values) / len(values)


def disagreement(one: Sample, other: Sample, repeaters: int = 1) -> list[str]:
    """Which of rate and fidelity differ by more than 4 standard errors and the stated error of the model."""
    rate_error, fidelity_model_error = RATE_MODEL_ERROR * repeaters, FIDELITY_MODEL_ERROR * repeaters
    found: list[str] = []
    interval_error_s = SIGMAS * hypot(one.interval_error_s, other.interval_error_s)
    if abs(one.interval_s - other.interval_s) > interval_error_s + rate_error * one.interval_s:
        found.append(f"rate {one.rate_hz:.2f} and {other.rate_hz:.2f} per second")
    fidelity_error = SIGMAS * hypot(one.fidelity_error, other.fidelity_error)
    if abs(one.fidelity - other.fidelity) > fidelity_error + fidelity_model_error:
        found.append(f"fidelity {one.fidelity:.4f} and {other.fidelity:.4f}")
    return found
