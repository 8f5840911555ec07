"""One seed is one history: in one process, in two, under any hash seed; another seed is another history."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bellwire.labs import Lab, Scenario, load_lab
from bellwire.simulator_backend.simulation import simulate
from tests.simulation.faulty import crash, faulty_lab

ROOT = Path(__file__).resolve().parents[2]


def repeater() -> Lab:
    return load_lab(ROOT / "lab_configs" / "three_node_repeater.yaml")


def chain() -> Lab:
    return load_lab(ROOT / "lab_configs" / "w1_chain_5.yaml")


def faulty() -> Lab:
    scenario = Scenario(
        message_loss_probability=0.03,
        duplicate_probability=0.05,
        delay_jitter_ns=3_000_000,
        reorder=True,
        persist_latency_ns=3_000_000,
        crashes=(crash("relay", 400, 300), crash("bob", 900, 200), crash("west", 1300, 400)),
    )
    return faulty_lab(scenario, 60, file=str(ROOT / "lab_configs" / "three_node_repeater.yaml"))


CASES: dict[str, tuple[Callable[[], Lab], float]] = {
    "repeater": (repeater, 3.0),
    "chain": (chain, 1.0),
    "faulty": (faulty, 4.5),
}


def digest_of(case: str, seed: int, **options: Any) -> str:
    make, duration_s = CASES[case]
    result = simulate(make(), duration_s, seed, **options)
    assert sum(outcome["delivered"] for outcome in result["requests"].values()) >= 15, "an empty history"
    return str(result["digest"])


@pytest.mark.parametrize("case", CASES)
def test_one_seed_gives_one_digest_in_a_process_and_another_seed_another(case: str) -> None:
    assert digest_of(case, 5) == digest_of(case, 5)
    assert digest_of(case, 5) != digest_of(case, 6)


def test_one_seed_gives_one_digest_under_every_hash_seed() -> None:
    program = (
        "from tests.simulation.test_determinism import CASES, digest_of;"
        "print(*[digest_of(case, 5) for case in CASES])"
    )
    digests = []
    for hash_seed in ("1", "4711"):
        done = subprocess.run(
            [sys.executable, "-c", program],
            cwd=ROOT,
            env=dict(os.environ, PYTHONHASHSEED=hash_seed, PYTHONPATH=str(ROOT)),
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert done.returncode == 0, done.stderr
        digests.append(done.stdout.split())
    assert digests[0] == digests[1]
    assert digests[0] == [digest_of(case, 5) for case in CASES]


def test_the_identity_is_no_perturbation() -> None:
    assert digest_of("chain", 5, perturb=lambda counter: counter) == digest_of("chain", 5)


def test_a_perturbation_of_ties_is_another_history() -> None:
    assert digest_of("chain", 5, perturb=lambda counter: -counter) != digest_of("chain", 5)
