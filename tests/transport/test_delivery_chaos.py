"""Delivery over channels that lose, copy and reorder, between nodes that crash: many pairs, many seeds."""

from random import Random
from typing import Literal

import pytest

from bellwire.core.effects import Send
from tests.transport.bench import HOP_NS, LANES, MS, REQUEST, Bench, Node, check_quiet

PAIRS = 60
EVERY_NS = 60 * MS
SEEDS = range(12)


def free(node: Node, lane: int) -> bool:
    return node.up and node.slots.slot(lane).state == "free"


def play(mode: Literal["keep", "measure"], seed: int, wanted: int | None, crashes: int) -> Bench:
    """Pairs on every free lane while messages suffer and nodes die; then peace, and spare pairs."""
    draw = Random(seed)
    peace = False

    def loss(index: int, send: Send) -> bool:
        return not peace and send.urgency == "delivery" and draw.random() < 0.15

    def delay(send: Send) -> tuple[int, ...]:
        if peace or send.urgency != "delivery":
            return (HOP_NS,)
        copies = 2 if draw.random() < 0.15 else 1
        return tuple(HOP_NS + draw.randrange(300 * MS) for _ in range(copies))

    bench = Bench(mode, wanted=wanted, loss=loss, delay=delay)
    crash_at = sorted(draw.randrange(PAIRS) for _ in range(crashes))
    for attempt in range(1, PAIRS + 1):
        lane = attempt % LANES
        if free(bench.alice, lane) and free(bench.bob, lane):
            bench.born(attempt, frame=draw.randrange(4), lane=lane)
        bench.run(bench.now_ns + draw.randrange(EVERY_NS))
        while crash_at and crash_at[0] <= attempt:
            crash_at.pop(0)
            node = bench.nodes[draw.choice(("alice", "bob"))]
            if node.up:
                kind = draw.choice(("before_write", "after_write"))
                bench.stop(node, kind, draw.randrange(20 * MS, 3_000 * MS))  # type: ignore[arg-type]  # a CrashKind
    bench.run(bench.now_ns + 4_000 * MS)
    peace = True
    bench.run(bench.now_ns + 16_000 * MS)
    for attempt in range(PAIRS + 1, PAIRS + 31):
        for node in (bench.alice, bench.bob):
            assert node.up
        lane = attempt % LANES
        if free(bench.alice, lane) and free(bench.bob, lane):
            bench.born(attempt, frame=0, lane=lane)
        bench.run(bench.now_ns + 50 * MS)
    bench.run(bench.now_ns + 10_000 * MS)
    check_quiet(bench)
    return bench


@pytest.mark.parametrize("mode", ["keep", "measure"])
def test_bad_channels_and_crashes_never_make_unequal_lists(mode: Literal["keep", "measure"]) -> None:
    delivered = void = 0
    for seed in SEEDS:
        bench = play(mode, seed, wanted=25, crashes=4)
        assert len(bench.numbers(bench.alice)) == 25, f"seed {seed}"
        delivered += 25
        void += len(bench.alice.delivery.records(REQUEST)) - 25
    assert delivered == 25 * len(SEEDS)
    if mode == "keep":
        assert void >= 3, "no crash ever hit a pair between commit and settlement: the scenario is too kind"


def test_without_crashes_bad_channels_cost_no_counted_pair_its_record() -> None:
    for seed in SEEDS:
        bench = play("keep", seed, wanted=None, crashes=0)
        numbers = bench.numbers(bench.alice)
        assert len(numbers) >= 20, f"seed {seed}"
        assert bench.alice.delivery.delivered_count(REQUEST) == len(numbers)
        assert bench.bob.delivery.delivered_count(REQUEST) == len(numbers)
        assert bench.alice.delivery.head.frame_mismatches == 0
