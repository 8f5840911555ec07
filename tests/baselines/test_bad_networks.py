"""Baselines over lost, doubled, late and overtaking messages and a crash: every request is still served, both
ends agree about what was delivered, and no memory is left occupied."""

from dataclasses import replace
from typing import Any

import pytest

from bellwire.baselines.centre import with_centre
from bellwire.labs import Scenario
from tests.simulation.faulty import History, crash, faulty_lab

BAD: dict[str, Any] = {
    "message_loss_probability": 0.03,
    "duplicate_probability": 0.05,
    "delay_jitter_ns": 3_000_000,
    "reorder": True,
    "persist_latency_ns": 4_000_000,
}
MODES = ("connectionless", "connectionless(loss_is_congestion=yes)", "virtual_circuit")


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("mode", MODES)
def test_a_baseline_serves_a_request_over_a_bad_network(mode: str, seed: int) -> None:
    history = History(faulty_lab(Scenario(**BAD), 10, generation_mode=mode), seed)
    history.finish()
    assert history.check() == 10
    assert history.node("relay").baselines.counters["succeeded"] >= 10


@pytest.mark.parametrize("mode", MODES)
def test_a_baseline_serves_a_request_although_the_inner_node_crashes(mode: str) -> None:
    scenario = Scenario(crashes=(crash("relay", 300, 150.0),))
    history = History(faulty_lab(scenario, 20, generation_mode=mode), 1)
    history.finish()
    assert history.check() == 20


def test_a_central_ledger_is_asked_again_where_questions_and_answers_get_lost() -> None:
    lab = faulty_lab(Scenario(message_loss_probability=0.1), 10, generation_mode="oldest")
    history = History(replace(lab, network=with_centre(lab.network, "alice")), 3)
    history.finish()
    assert history.check() == 10
    assert history.node("relay").central.counters["repeated"] > 0
