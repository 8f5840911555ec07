"""Kills at random moments, and that the comparison of the stores sees what must not happen."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from bellwire.core.ids import End
from bellwire.core.plans import EntanglementRequest
from bellwire.transport.delivery_records import DeliveryRecord
from bellwire.transport.request_records import RequestRecord
from tests.hosts.kill_points import KilledRun, faults_of, killed_at

replace = msgspec.structs.replace
Plant = Callable[[KilledRun], None]


@pytest.mark.slow
async def test_twenty_kills_at_random_moments_lose_no_request_and_count_no_pair_twice(tmp_path: Path) -> None:
    """200 of them are run by `python -m tests.hosts.kill_points`."""
    run = await killed_at(tmp_path, 20, seed=77)
    assert faults_of(run) == []
    assert sum(run.kills.values()) == 20
    assert run.figures()["pairs settled"] > 0


def in_order() -> KilledRun:
    """Two requests, two pairs and one, all of it as it must be."""
    run = KilledRun(pairs={"alice": [], "bob": []})
    for name, count in (("one", 2), ("two", 1)):
        request = EntanglementRequest(request_id=name, target_nodes=("alice", "bob"), count=count)
        run.acknowledged[name] = request
        run.requests[name] = RequestRecord(
            request=request, submitted_ns=1, started_ns=2, outcome="completed", delivered=count, reason=""
        )
        for number in range(1, count + 1):
            head = DeliveryRecord(
                request=name,
                role="head",
                peer="bob",
                mode="keep",
                number=number,
                head_end=End("left", 1, len(run.pairs["alice"]), 0, 0),
                tail_end=End("right", 1, len(run.pairs["alice"]), 0, 1),
                frame=2,
                signs=0,
                cost=(1 << 53, 1 << 53, 1 << 53),
                fidelity=0.9,
                at_ns=10,
                born_ns=5,
                state="settled",
                bit=None,
            )
            run.pairs["alice"].append(head)
            run.pairs["bob"].append(replace(head, role="tail", peer="alice"))
    return run


def forgotten(run: KilledRun) -> None:
    del run.requests["two"]


def without_end(run: KilledRun) -> None:
    run.requests["two"] = replace(run.requests["two"], outcome=None)


def one_pair_short(run: KilledRun) -> None:
    run.requests["one"] = replace(run.requests["one"], delivered=1)


def counted_twice(run: KilledRun) -> None:
    again = replace(run.pairs["alice"][0], request="two", number=2)
    run.pairs["alice"].append(again)
    run.pairs["bob"].append(replace(again, role="tail"))


def number_twice(run: KilledRun) -> None:
    run.pairs["alice"].append(replace(run.pairs["alice"][0], head_end=End("left", 2, 9, 0, 0)))


def unknown_at_the_tail(run: KilledRun) -> None:
    run.pairs["bob"].pop()


def another_frame(run: KilledRun) -> None:
    run.pairs["bob"][0] = replace(run.pairs["bob"][0], frame=1)


def known_at_the_tail_alone(run: KilledRun) -> None:
    run.pairs["alice"].pop()


@pytest.mark.parametrize(
    ("plant", "word"),
    [
        (forgotten, "not in the store"),
        (without_end, "no outcome"),
        (one_pair_short, "1 pairs of 2"),
        (counted_twice, "qubit of alice"),
        (number_twice, "number"),
        (unknown_at_the_tail, "unknown at bob"),
        (another_frame, "not the same at both ends"),
        (known_at_the_tail_alone, "known at bob alone"),
    ],
)
def test_each_kind_of_fault_is_seen(plant: Plant, word: str) -> None:
    run = in_order()
    assert faults_of(run) == []
    plant(run)
    assert any(word in fault for fault in faults_of(run))
