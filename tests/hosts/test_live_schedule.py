"""The lab with a network schedule on emulated instruments: slot tables in force in the FPGAs of its stations."""

from pathlib import Path
from typing import Any

from bellwire.core.events import StationDecided, StationHeralded
from bellwire.core.settings import LinkSettings
from bellwire.drivers.herald_settings import settings_for_travel
from bellwire.runtime.slot_frames import attempt_numbers
from tests.hosts.live import lab_up, live_lab
from tests.hosts.recorded import RecordedRun

SECONDS = 4.0
PAIRS_MIN = 5
"""Of the request that has the fewest: at 5 a second the lab promises 20."""


def shorter(sections: dict[str, Any]) -> None:
    for request in sections["requests"]:
        request["duration_s"] = SECONDS


def turn_of(link: LinkSettings, attempt: int) -> int:
    """The turn in which an attempt begins; runs begin with a cycle."""
    return attempt * link.period_ns % (link.turn_ns * link.turns) // link.turn_ns


async def test_stations_attempt_in_granted_slots_alone_and_pairs_flow_for_every_request(
    tmp_path: Path,
) -> None:
    lab = live_lab(tmp_path, "scheduled_hub", shorter)
    async with lab_up(lab, tmp_path / "state") as live:
        for request in lab.requests:
            await live.supervisor.submit(request)
        for request in lab.requests:
            assert await live.ended(request.request_id) == "completed"
    for request in lab.requests:
        assert live.delivered(request.target_nodes[0], request.request_id) >= PAIRS_MIN
    run = RecordedRun(live.supervisor.run_dir)
    for name, link in lab.network.links.items():
        assert link.station is not None
        assert link.turns_granted is not None
        numbers = attempt_numbers(link)
        assert numbers is not None
        delay_ns = settings_for_travel(
            link.period_ns, link.lanes, link.click_delay_ns, architecture=link.architecture
        ).start_delay_ns
        events = [event for _, _, event in run.steps(link.station)]
        heralds = [event for event in events if isinstance(event, StationHeralded)]
        assert len(heralds) >= PAIRS_MIN, name
        for event in heralds:
            assert turn_of(link, event.attempt) in link.turns_granted
            # The stamp says the same as the number: runs begin at a whole cycle of the common clock.
            cycle_ns = link.turn_ns * link.turns
            assert (event.at_ns - delay_ns - event.attempt * link.period_ns) % cycle_ns == 0
        bounds = [event.attempt for event in events if isinstance(event, StationDecided)]
        # A device that attempts in slots alone says of every pause at once that it is decided.
        pauses = [bound for bound in bounds if turn_of(link, bound) not in link.turns_granted]
        assert pauses, name
        assert all((bound + 1) % numbers.cycle in {first for first, _ in numbers.windows} for bound in pauses)
