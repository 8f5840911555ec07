"""A whole emulated lab whose link must be calibrated: the station heralds while the calibration is in force,
and all its processes count with the figures that were in force when the run began.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from bellwire.calibration.records import CalibrationRecord, Quantity
from bellwire.calibration.store import store_in
from bellwire.cli.calibrated_runs import with_stored_calibrations
from bellwire.cli.links import add_obstacles
from bellwire.cli.replay import replayed
from bellwire.runtime.supervisor import Supervisor
from tests.calibration.made_records import made, visible
from tests.hosts.live import LiveLab, asked, live_lab, wait_for

LAB, LINK, STATION = "two_node_link", "alice-bob", "midpoint"
STRICT = """
import sys
from bellwire.labs import calibrated
calibrated.required_calibrations = lambda lab, link: ("hom_visibility",)
from bellwire.__main__ import main
main()
"""


def now(record: CalibrationRecord) -> CalibrationRecord:
    """As if it had ended at this moment."""
    return replace(record, started_ns=time.time_ns(), ended_ns=time.time_ns())


class StrictLab(Supervisor):
    """A lab that demands a visibility of its link, whose two-node file has no equipment to measure it."""

    def _bellwire(self, name: str, state_dir: Path, run_dir: Path) -> Sequence[str]:
        python, *rest = super()._bellwire(name, state_dir, run_dir)
        assert (python, rest[:2]) == (sys.executable, ["-m", "bellwire"])
        return [python, "-c", STRICT, *rest[2:]]


async def test_a_link_heralds_only_while_its_calibration_is_in_force(tmp_path: Path) -> None:
    state = tmp_path / "state"
    store = store_in(state)
    store.put(now(visible("good", 0.9)))
    store.put(
        now(
            made(
                "rate",
                procedure="herald_rate",
                quantities={"success_probability": Quantity(0.0123, 0.001)},
            )
        )
    )
    lab = with_stored_calibrations(live_lab(tmp_path, LAB), state)
    async with StrictLab(lab, state) as supervisor:
        live = LiveLab(supervisor)
        assert supervisor.degraded == {}
        await supervisor.submit(asked(lab, "before", count=5))
        assert await live.ended("before") == "completed"

        store.put(now(visible("bad", 0.62)))
        await wait_for(lambda: has_standing(live, "due"), "the station takes the link out of Ready")
        told = (await supervisor.status(STATION))["instruments"][f"{STATION}-calibration"]
        assert "hom_visibility of alice-bob failed under a minute ago: visibility = 0.62" in told["reason"]
        described: dict[str, dict[str, object]] = {LINK: {"obstacles": None}}
        await add_obstacles(lab, state, described)
        obstacles = described[LINK]["obstacles"]
        assert isinstance(obstacles, list)
        assert any("calibration is due: hom_visibility" in one for one in obstacles)

        await live.until(lambda: station_reports(live)[-1:] == ["lost"], "the station's machine is told")
        await supervisor.submit(asked(lab, "meanwhile", count=5))
        before = await heralds(live)
        await wait_for(lambda: has_status(live, "meanwhile", "in_progress"), "the request waits for pairs")
        assert live.delivered("alice", "meanwhile") == 0

        store.put(now(visible("repaired", 0.9)))
        assert await live.ended("meanwhile") == "completed"
        assert await has_standing(live, "ready")
        assert await heralds(live) > before
        frozen = json.loads((supervisor.run_dir / "configuration.json").read_text(encoding="utf-8"))
        assert frozen["document"]["calibrations"][LINK]["success_probability"]["value"] == 0.0123
        assert supervisor.restarts == {}
    # Plans carry what they predict, so a replay is the same only if every agent had the frozen figures.
    report = replayed(supervisor.run_dir)
    assert report["same"]
    assert report["steps"] > 100


def station_reports(live: LiveLab) -> list[str]:
    return [
        "ready" if report["fields"]["ready"] else "lost"
        for report in live.reports
        if report["name"] == "station_device"
    ]


async def has_standing(live: LiveLab, condition: str) -> bool:
    instruments = (await live.supervisor.status(STATION))["instruments"]
    return bool(instruments[f"{STATION}-calibration"]["condition"] == condition)


async def has_status(live: LiveLab, request: str, status: str) -> bool:
    await live.look()
    return live.status(request) == status


async def heralds(live: LiveLab) -> int:
    """Successes that the station has told so far."""
    counted = (await live.supervisor.status("alice"))["links"][LINK]["heralds"]
    return int(counted)
