"""Corrective actions on an emulated lab of real processes: a link goes dark, comes back, and stays dark.

Waits are for events. A loaded machine may add actions, which nothing here counts, but takes none away: where
no pair comes at all, the ladder is climbed whatever the load is.
"""

from pathlib import Path
from typing import Any

import pytest

from bellwire.runtime.control import ask
from bellwire.runtime.node_process import machine_factory
from bellwire.runtime.replay import replay_run
from bellwire.runtime.supervisor import EMULATOR
from tests.hosts.live import PATIENCE_S, LiveLab, asked, lab_up, live_lab, wait_for


def watched_closely(sections: dict[str, Any]) -> None:
    """One pair a second of some twenty is wanted, and no abundance is ever too much."""
    sections["monitoring"] = {
        "samples_min": 1000,
        "duration_min_s": 3,
        "cooldown_durations": 1,
        "suspension_durations": 2,
        "memory_durations": 1,
        "excess": 1000,
        "ladder": ["replan", "suspend", "replan"],
    }


def corrected(live: LiveLab, action: str | None = None) -> list[dict[str, Any]]:
    """Corrective actions so far, of one type or (None) of all."""
    return [
        report["fields"]
        for report in live.reports
        if report["name"] == "corrective_action" and action in (None, report["fields"]["action"])
    ]


@pytest.mark.slow
async def test_a_request_sleeps_while_its_link_is_dark_wakes_up_and_in_the_end_gives_up(
    tmp_path: Path,
) -> None:
    lab, state = live_lab(tmp_path, "two_node_link", watched_closely), tmp_path / "state"
    (link,), _ = lab.world()

    async def shine(factor: float) -> None:
        success = factor * link.physics[0].success_probability
        await ask(state, EMULATOR, "change_link", link=link.name, success_probability=success)

    async with lab_up(lab, state, ready_s=PATIENCE_S) as live:
        await live.supervisor.submit(asked(lab, "stream", count=1_000_000, rate_threshold_hz=1.0))
        await live.until(lambda: live.delivered("alice", "stream") >= 5, "pairs flow")

        await shine(0.0)
        await live.until(lambda: live.status("stream") == "suspended", "the request sleeps")
        assert "suspended for 6 s" in str(live.error("stream"))
        await wait_for(live.all_slots_free, "a request that sleeps holds nothing")
        await shine(1.0)
        before = live.delivered("alice", "stream")
        await live.until(lambda: live.delivered("alice", "stream") >= before + 5, "pairs flow again")
        assert live.status("stream") in ("in_progress", "planning")

        live.supervisor.kill("alice")
        before = live.delivered("alice", "stream")
        await live.until(lambda: live.delivered("alice", "stream") >= before + 5, "the source is back")
        told = len(corrected(live))
        assert told >= 2

        await shine(0.0)
        assert await live.ended("stream") == "failed"
        await wait_for(live.all_slots_free, "all slots are free")
        assert live.supervisor.restarts == {"alice": 1}
    actions = corrected(live)
    assert [fields["number"] for fields in actions] == list(range(1, len(actions) + 1)), (
        "the source counts on where it was before it was killed"
    )
    assert [fields["action"] for fields in actions[-4:]] == ["replan", "suspend", "replan", "terminate"]
    for fields in actions:
        assert fields["reason"]
        assert (fields["rate_wanted_hz"], fields["rate_asked_hz"]) == (1.0, 1.0)
    assert str(live.error("stream")).endswith(f"after {len(actions) - 1} corrective actions")
    assert replay_run(live.supervisor.run_dir, lab.network, machine_factory(lab))["same"]
