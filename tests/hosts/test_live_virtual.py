"""Live and virtual are the same (architecture.md section 13): replay, scripted World, statistics.

Each states the least it must have seen, and notices the differences that are planted into it. The perturbed
virtual host is tested beside this file. Statistical comparisons fail by chance once in 16,000 runs each.
"""

import copy
import shutil
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from bellwire.core.codec import decode_event, encode
from bellwire.core.events import BellMeasured, Event, Received
from bellwire.core.link_messages import HeraldReport
from bellwire.runtime.node_process import machine_factory
from bellwire.runtime.replay import replay_run
from bellwire.runtime.trace import StepEntry, effects_digest, read_steps
from tests.hosts.comparisons import (
    both_histories,
    differences,
    disagreement,
    live_sample,
    run_scripted,
    virtual_sample,
    with_latencies,
)
from tests.hosts.conftest import FREE_REQUEST, FreeRun
from tests.hosts.histories import Histories
from tests.hosts.interrupted import REQUEST, InterruptedRun
from tests.hosts.latencies import latencies
from tests.hosts.recorded import RecordedRun

NOTHING_ORDERED = effects_digest([])


# ---- (a) replay


def test_a_live_run_with_failures_and_a_crash_replays_byte_for_byte(interrupted_run: InterruptedRun) -> None:
    run = RecordedRun(interrupted_run.run_dir)
    results = [swap.result for swap in run.swaps()]
    assert len(run.delivered("alice", REQUEST)) >= 60
    assert results.count("ok") >= 60
    assert results.count("failed") >= 15
    report = replayed(interrupted_run, interrupted_run.run_dir)
    assert report["same"], report
    assert report["steps"] >= 3000
    lives = {(one["node"], one["incarnation"]): one["steps"] for one in report["machines"]}
    assert min(lives["relay", 1], lives["relay", 2]) >= 150
    assert len(lives) == 6
    assert {one["node"] for one in report["ledgers"]} == {"alice", "bob", "relay"}


def replayed(interrupted_run: InterruptedRun, run_dir: Path) -> dict[str, Any]:
    network = interrupted_run.lab.network
    return replay_run(run_dir, network, machine_factory(interrupted_run.lab))


Steps = list[StepEntry]


def bears(step: StepEntry) -> bool:
    """A herald that made the machine order something: a pair is born of it, whatever else comes when.

    Other messages may be answered alike in either order, or by a deadline that is due with any event.
    """
    event = event_of(step)
    herald = isinstance(event, Received) and isinstance(event.message, HeraldReport)
    return herald and step.effects != NOTHING_ORDERED


def an_event_dropped(steps: Steps) -> Steps:
    """The first herald in the middle of the log that made the machine order something."""
    at = next(index for index in range(len(steps) // 2, len(steps)) if bears(steps[index]))
    return steps[:at] + steps[at + 1 :]


def an_outcome_changed(steps: Steps) -> Steps:
    """One Bell measurement that gave another index."""
    for index in range(len(steps) // 2, len(steps)):
        event = event_of(steps[index])
        if isinstance(event, BellMeasured) and event.outcome is not None:
            other = msgspec.structs.replace(event, outcome=event.outcome ^ 1)
            changed = msgspec.structs.replace(steps[index], event=encode(other))
            return [*steps[:index], changed, *steps[index + 1 :]]
    raise AssertionError("no Bell measurement in this log")


def messages_exchanged(steps: Steps) -> Steps:
    """Two messages in a row, one of which is a herald that bore a pair, the other way round."""
    for index in range(len(steps) // 2, len(steps) - 1):
        one, two = steps[index], steps[index + 1]
        both = isinstance(event_of(one), Received) and isinstance(event_of(two), Received)
        if both and bears(one) != bears(two):
            first = msgspec.structs.replace(one, event=two.event)
            second = msgspec.structs.replace(two, event=one.event)
            return [*steps[:index], first, second, *steps[index + 2 :]]
    raise AssertionError("no two messages in a row in this log")


def event_of(step: StepEntry) -> Event:
    return decode_event(step.event)


@pytest.mark.parametrize(
    ("node", "plant"),
    [
        ("alice", an_event_dropped),
        ("relay", an_event_dropped),
        ("relay", an_outcome_changed),
        ("alice", messages_exchanged),
        ("bob", messages_exchanged),
    ],
)
def test_replay_notices_one_step_that_is_not_as_it_was(
    interrupted_run: InterruptedRun, tmp_path: Path, node: str, plant: Callable[[Steps], Steps]
) -> None:
    run_dir = tmp_path / "run"
    folder = run_dir / "agents" / node
    folder.mkdir(parents=True)
    shutil.copy(interrupted_run.run_dir / "configuration.json", run_dir)
    (original, *_) = sorted((interrupted_run.run_dir / "agents" / node).glob("steps-*.bin"))
    path = folder / original.name
    steps = list(read_steps(original))
    write_steps(path, steps)
    assert path.read_bytes() == original.read_bytes()[: path.stat().st_size]  # a torn last entry is left out
    assert replayed(interrupted_run, run_dir)["same"]
    write_steps(path, plant(steps))
    assert not replayed(interrupted_run, run_dir)["same"]


def write_steps(path: Path, steps: Steps) -> None:
    entries = [msgspec.msgpack.encode(step) for step in steps]
    path.write_bytes(b"".join(struct.pack("<I", len(entry)) + entry for entry in entries))


# ---- (b) scripted World


async def test_scripted_heralds_have_the_same_causal_history_live_and_virtual(tmp_path: Path) -> None:
    lab, request, run = await run_scripted(tmp_path, count=12)
    live, virtual = both_histories(lab, request, run)
    assert differences(live, virtual) == []
    assert len(live.deliveries["alice"]) == len(live.deliveries["bob"]) == 12
    assert len(live.pairs) >= 24
    assert live.swaps("ok") >= 12
    assert live.swaps("failed") >= 3
    assert len({frame for _, frame in live.deliveries["alice"].values()}) >= 3
    for plant in (another_frame, another_outcome, another_order, a_fact_missing, deliveries_exchanged):
        changed = copy.deepcopy(live)
        plant(changed)
        assert differences(changed, virtual), plant.__name__


def another_frame(histories: Histories) -> None:
    ends, frame = histories.deliveries["alice"][5]
    histories.deliveries["alice"][5] = (ends, frame ^ 1)


def another_outcome(histories: Histories) -> None:
    told = next(authors["relay"] for authors in histories.pairs.values() if len(authors["relay"]) == 2)
    kind, left, right, result, outcome = told[1]
    told[1] = (kind, left, right, result, outcome ^ 2)


def another_order(histories: Histories) -> None:
    next(authors["relay"] for authors in histories.pairs.values() if len(authors["relay"]) == 2).reverse()


def a_fact_missing(histories: Histories) -> None:
    next(iter(histories.pairs.values()))["alice"].pop()


def deliveries_exchanged(histories: Histories) -> None:
    numbers = histories.deliveries["bob"]
    numbers[3], numbers[4] = numbers[4], numbers[3]


# ---- (c) statistics


def test_rate_and_fidelity_agree_when_virtual_time_has_the_live_latencies(free_run: FreeRun) -> None:
    run = RecordedRun(free_run.run_dir)
    live = live_sample(run, FREE_REQUEST)
    assert live.pairs >= 60
    measured = latencies(free_run.lab, run)
    assert len(measured.messages) >= 500
    assert min(len(measured.heralds), len(measured.bell)) >= 60

    virtual = virtual_sample(with_latencies(free_run.lab, measured), seconds=30)
    assert virtual.pairs >= 300
    assert disagreement(live, virtual) == []
    # Half the lanes is half the rate, and is noticed.
    fewer = virtual_sample(with_latencies(free_run.lab, measured, lanes=4), seconds=15)
    assert any("rate" in line for line in disagreement(live, fewer))
