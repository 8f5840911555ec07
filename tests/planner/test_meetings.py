"""How pairs of links meet that take turns: closed forms, and virtual time.

The closed forms are limits: turns much longer than it takes to fill the memories, and much shorter. Between
them the chain is held against simulations of whole labs (seed 1; the tolerance is 4 standard errors of the
count, 1 false alarm in 16 000, and 3 % for what delivery and the first cycle take).
"""

from math import sqrt
from pathlib import Path
from typing import Any

import pytest
import yaml

from bellwire.core.plans import EntanglementRequest
from bellwire.labs import load_lab
from bellwire.planner.meetings import Alternating, alternation, meeting
from bellwire.planner.plans import compute_plan
from bellwire.simulator_backend.simulation import simulate

CYCLE_S = 0.08


def link(pairs: float, lanes: int = 4, attempting: int | None = None, bank: int | None = 4) -> Alternating:
    return Alternating(pairs, lanes, attempting or lanes, bank)


@pytest.mark.parametrize(
    ("one", "stored"),
    [
        (link(64.0), 3),  # one memory of the bank is left to the other link
        (link(64.0, bank=8), 4),  # no more than its lanes
        (link(64.0, lanes=2, bank=2), 1),
        (link(64.0, bank=None), 4),  # memories of its own, an emitter is shared
    ],
)
def test_long_turns_swap_what_memories_hold_twice_a_cycle_and_it_waits_for_half_of_it(
    one: Alternating, stored: int
) -> None:
    met = alternation(one, one, CYCLE_S)
    assert met.latency_s == pytest.approx(CYCLE_S / (2 * stored), rel=0.05)
    # Half of the swaps have a left pair that waited from its own stretch to the next.
    assert met.left_wait_s == pytest.approx(CYCLE_S / 4, rel=0.25)
    assert met.left_wait_s == pytest.approx(met.right_wait_s, rel=0.25)


def test_short_turns_are_as_good_as_no_turns() -> None:
    # A hundredth of a pair a stretch: whose turn it is averages out.
    mean_s = CYCLE_S / 0.01
    for lanes in (1, 2, 4):
        turns = alternation(link(0.01, lanes, bank=None), link(0.01, lanes, bank=None), CYCLE_S)
        beside = meeting(mean_s, lanes, mean_s, lanes)
        assert turns.latency_s == pytest.approx(beside.latency_s, rel=0.02)
        assert turns.left_wait_s == pytest.approx(beside.left_wait_s, rel=0.05)


def test_the_slower_link_sets_the_pace() -> None:
    met = alternation(link(0.5), link(64.0), CYCLE_S)
    # Three pairs of the fast link always wait: the slow one has one memory of four for its attempts.
    assert met.latency_s == pytest.approx(CYCLE_S / 0.5 * 4, rel=0.3)
    assert met.right_wait_s > 3 * met.left_wait_s


def test_a_node_with_one_memory_for_all_its_links_is_no_way(tmp_path: Path) -> None:
    network = load_lab(lab(tmp_path, 10, 0.05, 1, bank=1)).network
    terms: dict[str, Any] = {"request_id": "r", "target_nodes": ("a", "z"), "count": 1}
    named = EntanglementRequest(**terms, route=("a", "h", "z"))
    assert compute_plan(network, named, 1) == "h has 1 memory, and swapping on the route a-h-z takes two"
    assert compute_plan(network, EntanglementRequest(**terms), 1) == "no route between a and z"


def lab(folder: Path, turn_ms: float, probability: float, lanes: int, **memory: Any) -> Path:
    still = {"t1_s": None, "t2_s": None, "bsm_duration_us": 0, "readout_fidelity": 1.0, "gate_fidelity": 1.0}
    attempt = {"period_us": 50, "success_probability": probability}
    path = folder / "turns.yaml"
    path.write_text(
        yaml.safe_dump(
            {
                "lab": "turns",
                "nodes": {
                    "a": {"role": "end", "memory": still},
                    "h": {"role": "repeater", "memory": still | memory},
                    "z": {"role": "end", "memory": still},
                },
                "links": {
                    name: {"nodes": list(name), "lanes": lanes, "attempt": attempt} for name in ("ah", "hz")
                },
                "classical": {"delay": "zero"},
                "limits": {"turn_ms": turn_ms, "turn_guard_ms": 0.1},
                "requests": [{"id": "r", "from": "a", "to": "z", "duration_s": 60}],
            }
        ),
        encoding="utf-8",
    )
    return path


@pytest.mark.parametrize(
    ("turn_ms", "probability", "lanes", "memory"),
    [
        (10, 0.05, 4, {"bank": 4}),
        (10, 0.004, 4, {"bank": 4}),
        (10, 0.002, 4, {"bank": 8}),
        (2, 0.01, 4, {"bank": 4}),
        (5, 0.01, 2, {"emitters": 1}),
    ],
    ids=["memories are full", "memories are half full", "a large bank", "short turns", "one emitter"],
)
def test_a_plan_over_shared_memories_promises_what_virtual_time_delivers(
    turn_ms: float, probability: float, lanes: int, memory: dict[str, Any], tmp_path: Path
) -> None:
    duration_s = 8.0
    report = simulate(load_lab(lab(tmp_path, turn_ms, probability, lanes, **memory)), duration_s, 1)
    seen = report["requests"]["r"]
    assert seen["delivered"] > 150
    error = 1.0 / sqrt(seen["delivered"])
    assert seen["rate_hz"] == pytest.approx(seen["predicted_rate_hz"], rel=0.03 + 4 * error)
