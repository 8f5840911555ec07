"""Deterministic fault simulation: lost, doubled, delayed and reordered messages, crashes of every node.

Each history must end in one definite status, equal lists of delivered pairs at both ends, frames that equal
the World's truth, and free slots everywhere. A failure is replayed by its parameters.
"""

import pytest

from bellwire.labs import Scenario
from tests.simulation.faulty import History, crash, faulty_lab


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize(
    "faults",
    [
        {"message_loss_probability": 0.05},
        {"duplicate_probability": 0.2, "delay_jitter_ns": 2_000_000},
        {"delay_jitter_ns": 5_000_000, "reorder": True},
        {
            "message_loss_probability": 0.03,
            "duplicate_probability": 0.05,
            "delay_jitter_ns": 3_000_000,
            "reorder": True,
            "persist_latency_ns": 4_000_000,
        },
    ],
    ids=["loss", "copies", "reorder", "everything"],
)
def test_a_request_is_served_over_a_bad_network(faults: dict, seed: int) -> None:
    history = History(faulty_lab(Scenario(**faults), 20), seed)
    history.finish()
    assert history.check() == 20


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("node", ["alice", "bob", "relay", "west", "east"])
@pytest.mark.parametrize("down_ms", [150.0, 4000.0])
def test_a_request_is_served_although_a_node_crashes(node: str, down_ms: float, seed: int) -> None:
    scenario = Scenario(crashes=(crash(node, 300 + 37 * seed, down_ms),), persist_latency_ns=2_000_000)
    history = History(faulty_lab(scenario, 40), seed)
    history.finish()
    assert history.statuses[0][1] == "completed"
    assert history.check() == 40


@pytest.mark.parametrize("seed", range(4))
def test_everything_goes_wrong_at_once_and_still_the_books_agree(seed: int) -> None:
    scenario = Scenario(
        message_loss_probability=0.03,
        duplicate_probability=0.05,
        delay_jitter_ns=3_000_000,
        reorder=True,
        persist_latency_ns=3_000_000,
        crashes=(
            crash("relay", 400, 300),
            crash("alice", 900, 2500),
            crash("bob", 1500, 400),
            crash("west", 2300, 1000),
            crash("relay", 2600, 2000),
        ),
    )
    history = History(faulty_lab(scenario, 60), seed)
    history.finish()
    assert history.check() >= 1


@pytest.mark.parametrize("seed", range(4))
def test_measured_pairs_agree_over_a_bad_network_too(seed: int) -> None:
    scenario = Scenario(message_loss_probability=0.03, delay_jitter_ns=2_000_000, reorder=True)
    history = History(faulty_lab(scenario, 30, consumption="measure"), seed)
    history.finish()
    assert history.check() == 30
