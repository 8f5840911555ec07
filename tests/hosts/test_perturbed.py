"""The perturbed virtual host: permuted ties, jitter, batches, skewed clocks, restarts; every rule holds.

Architecture.md section 13, test (d). Each case states how much must have happened, because an empty
history proves nothing; the planted differences that must fail stand in test_planted_differences.py.
Numbers are of fixed seeds.
"""

from collections import Counter
from typing import Any

import pytest

from bellwire.labs import Lab, Scenario
from tests.hosts.checked import CheckedHistory
from tests.hosts.perturbing import asap_chain, permuted
from tests.simulation.faulty import crash, faulty_lab

SKEW_NS = {"n0": -200_000, "n1": 150_000, "n2": -90_000, "n3": 300_000}
"""Clocks up to 0.5 ms apart: ten times the delay of a hop, five attempts."""

STATION_SKEW_NS = {"alice": 300_000, "relay": -300_000, "bob": 100_000, "west": -100_000}

RESTARTS = Scenario(
    crashes=(crash("n1", 8, 15), crash("n3", 60, 20), crash("n0", 120, 10), crash("n2", 170, 0.02)),
    persist_latency_ns=300_000,
)
EVERYTHING = Scenario(
    crashes=RESTARTS.crashes,
    persist_latency_ns=300_000,
    delay_jitter_ns=200_000,
    reorder=True,
    duplicate_probability=0.1,
    message_loss_probability=0.02,
)


def least(
    pairs: int, swaps: int, failures: int, both: int, cutoffs: int, restarts: int = 0
) -> dict[str, int]:
    return {
        "delivered": pairs,
        "Swapped": swaps,
        "Swapped failed": failures,
        "swaps at both ends at once": both,
        "Released cutoff": cutoffs,
        "restarts": restarts,
        "pairs compared": 100 * pairs // 10,
        "frames compared": 3 * pairs,
        "ledgers compared": 10,
    }


def play(lab: Lab, seeds: range, *, dead_for_ms: float, **options: Any) -> tuple[Counter[str], set[Any]]:
    """Histories of a few seeds, each checked at every step and at its end, with their sums and rows."""
    total: Counter[str] = Counter()
    rows: set[Any] = set()
    most = 0
    for seed in seeds:
        history = CheckedHistory(lab, seed, perturb=permuted(seed + 1), dead_for_ms=dead_for_ms, **options)
        total["delivered"] += history.play()
        total.update(history.invariants.counts)
        most = max(most, *(len(ends) // 2 for ends in history.invariants.born_at.values()))
        rows |= history.invariants.fired
    total["heralds in one attempt"] = most
    return total, rows


def demand(total: Counter[str], least: dict[str, int]) -> None:
    short = {name: (total[name], number) for name, number in least.items() if total[name] < number}
    assert not short, f"too little happened (seen, wanted): {short}"


def test_rules_hold_when_simultaneous_things_come_in_another_order() -> None:
    total, _ = play(asap_chain(), range(3), dead_for_ms=0.2)
    demand(total, least(120, 350, 80, 45, 40))


def test_rules_hold_when_messages_are_late_and_overtake() -> None:
    scenario = Scenario(delay_jitter_ns=400_000, reorder=True, duplicate_probability=0.1)
    total, _ = play(asap_chain(scenario=scenario), range(3), dead_for_ms=50)
    demand(total, least(120, 350, 80, 45, 40))


def test_rules_hold_when_heralds_come_in_batches() -> None:
    total, _ = play(asap_chain(lanes=16, p=0.5, count=120), range(2), dead_for_ms=0.2)
    demand(total, least(240, 600, 150, 100, 0) | {"heralds in one attempt": 10})


@pytest.mark.parametrize("consumption", ["keep", "measure"])
def test_rules_hold_when_clocks_disagree(consumption: str) -> None:
    total, _ = play(asap_chain(consumption=consumption), range(3), dead_for_ms=0.2, offsets_ns=SKEW_NS)
    demand(total, least(120, 350, 80, 40, 40))


def test_rules_hold_when_nodes_restart() -> None:
    total, _ = play(asap_chain(count=80, scenario=RESTARTS), range(1), dead_for_ms=4000)
    demand(total, least(80, 200, 50, 25, 50, restarts=4))


def test_rules_hold_over_stations_with_skewed_clocks_and_restarts() -> None:
    scenario = Scenario(
        delay_jitter_ns=500_000,
        reorder=True,
        message_loss_probability=0.02,
        persist_latency_ns=2_000_000,
        crashes=(crash("relay", 400, 300), crash("alice", 1200, 400), crash("west", 1700, 200)),
    )
    # Seed 2 once re-initialised a slot whose catch was still on its way when its lease was extended.
    lab = faulty_lab(scenario, 40, cutoff_ns=60_000_000)
    total, _ = play(lab, range(1, 3), dead_for_ms=4000, offsets_ns=STATION_SKEW_NS)
    demand(total, least(80, 80, 0, 0, 5, restarts=6))


ROWS = {
    ("head", "absent", "seen_to_keep"),
    ("head", "absent", "seen_to_measure"),
    ("head", "measuring", "measured"),
    ("head", "offered", "accepted"),
    ("head", "answered", "agreed"),
    ("head", "recording", "persisted"),
    ("head", "committed", "settled"),
    ("tail", "absent", "offer"),
    ("tail", "asked", "shown"),
    ("tail", "asked", "shown_with_frame"),
    ("tail", "correcting", "corrected"),
    ("tail", "absent", "seen"),
    ("tail", "measuring", "measured"),
    ("tail", "measured", "offer"),
    ("tail", "accepted", "commit"),
    ("tail", "recording", "persisted"),
}
"""Rows that every service takes, and those of bad luck that these histories must meet. Rows of lost
instruments cannot fire in virtual time; tests/transport demands every row of both tables on a bench."""


def test_rules_hold_when_everything_happens_at_once() -> None:
    rows: set[Any] = set()
    total: Counter[str] = Counter()
    for consumption in ("keep", "measure"):
        lab = asap_chain(count=30, consumption=consumption, scenario=EVERYTHING)
        some, fired = play(lab, range(1), dead_for_ms=4000, offsets_ns=SKEW_NS)
        total.update(some)
        rows |= fired
    demand(total, least(60, 200, 50, 20, 50, restarts=6))
    assert not ROWS - rows, ROWS - rows
    assert len(rows) >= 25, sorted(rows)
