"""Live agents whose ledgers keep to routes, through the death of one of them; and the record of it."""

import asyncio
from pathlib import Path
from typing import Any

from bellwire.core.events import Received
from bellwire.core.facts import Began
from bellwire.core.messages import FactBatch
from bellwire.runtime.node_process import machine_factory
from bellwire.runtime.replay import replay_run
from tests.hosts.interrupted import REQUEST, interrupt, measurements_fail
from tests.hosts.recorded import RecordedRun

PAIRS = 40


def routes_only(sections: dict[str, Any]) -> None:
    measurements_fail(sections)
    sections["ledgers"] = "routes"


def test_a_killed_relay_costs_nothing_and_the_record_replays_by_the_numbers_of_each_reader(
    tmp_path: Path,
) -> None:
    run = asyncio.run(interrupt(tmp_path, pairs=PAIRS, before_kill=12, change=routes_only))
    assert run.status == "completed"
    assert not any(run.taken_slots.values())
    recorded = RecordedRun(run.run_dir)
    head, tail = (recorded.delivered(node, REQUEST) for node in ("alice", "bob"))
    assert sorted(head) == list(range(1, PAIRS + 1))
    assert {number: pair.ends for number, pair in head.items()} == {
        number: pair.ends for number, pair in tail.items()
    }
    # The first that a reader is ever told is that the author began; of both lives of the relay.
    first: dict[tuple[str, int], list[FactBatch]] = {}
    for _, _, event in recorded.steps("alice"):
        if isinstance(event, Received) and isinstance(event.message, FactBatch):
            first.setdefault((event.source, event.incarnation), []).append(event.message)
    assert {("relay", 1), ("relay", 2), ("bob", 1)} <= set(first)
    for batches in first.values():
        earliest = min(batches, key=lambda batch: batch.first)
        assert earliest.first == 1
        assert isinstance(earliest.facts[0], Began)
    report = replay_run(run.run_dir, run.lab.network, machine_factory(run.lab))
    assert report["same"], report
    assert report["steps"] >= 1000
