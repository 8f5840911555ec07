"""The lab with a network schedule on emulated instruments: slot tables in the FPGAs of its stations."""

from pathlib import Path
from typing import Any

from bellwire.core.effects import StartRun
from bellwire.core.events import Event, StationDecided, StationHeralded
from bellwire.core.settings import LinkSettings
from bellwire.core.units import NS_PER_S
from bellwire.drivers.herald_fpga import HeraldFpga
from bellwire.drivers.herald_settings import SLOTS, settings_for_travel
from bellwire.runtime.clock import LiveClock
from bellwire.runtime.health import Health
from bellwire.runtime.instruments import NodeInstruments
from bellwire.runtime.slot_frames import attempt_numbers, table_of
from bellwire.simulator_backend.lab_emulation import LabEmulation
from tests.hosts.live import lab_up, live_lab, wait_for
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


async def test_the_table_read_from_a_station_is_its_links_and_light_beside_it_heralds_nothing(
    tmp_path: Path,
) -> None:
    """Light in the middle of every slot of two cycles, on the last lane, over a serial line of its own."""
    lab = live_lab(tmp_path, "scheduled_hub")
    link = lab.network.links["ann-hub"]
    table, granted = table_of(link), link.turns_granted
    assert table is not None
    assert granted is not None
    events: list[Event] = []
    clock, health, emulation = LiveClock(), Health(), LabEmulation(lab, tmp_path)
    entries = tuple(entry for entry in lab.instruments if entry.owner == "s1")
    station = NodeInstruments(lab.network, "s1", entries, tmp_path, events.append, clock, health)
    async with emulation:
        await station.start()
        try:

            async def ready() -> bool:
                return station.ready

            await wait_for(ready, "the station is ready")
            core = emulation.bench.stations["s1"].core
            assert core is not None
            analyser = station._analyser
            assert isinstance(analyser, HeraldFpga)
            fields = analyser.link.map["SLOT"].fields
            words = [await analyser.link.read("SLOT", row) for row in range(SLOTS)]
            gaps = [await analyser.link.read("SLOT_GAP", row) for row in range(SLOTS)]
            assert [
                (fields["attempts"].extract(word), gap * 8) for word, gap in zip(words, gaps, strict=True)
            ][: len(table.rows)] == [(row.attempts * link.lanes, row.gap_ns) for row in table.rows]
            assert not any(words[len(table.rows) :])
            assert await analyser.link.read("FRAME_LEN") * 8 == link.turn_ns * link.turns

            epoch_ns = -(-(clock.now_ns() + NS_PER_S // 4) // NS_PER_S) * NS_PER_S
            periods = link.turn_ns // link.period_ns
            lit = [turn * periods + periods // 2 for turn in range(2 * link.turns)]
            due_ns = {a: epoch_ns + a * link.period_ns + link.click_delay_ns for a in lit}
            lane = link.lanes - 1
            core.expected_clicks = lambda: [(at_ns, lane) for at_ns in due_ns.values()]
            station.orders.carry_out(
                StartRun(link=link.link, run=1, epoch_ns=epoch_ns, period_ns=link.period_ns, lanes=link.lanes)
            )
            for attempt in lit:

                async def lights(attempt: int = attempt) -> bool:
                    return clock.now_ns() > due_ns[attempt] + link.period_ns

                await wait_for(lights, f"the time of attempt {attempt}")
                outcome = core.click(due_ns.pop(attempt), lane, 1, clock.now_ns())
                assert bool(outcome) == (turn_of(link, attempt) in granted)

            async def decided() -> bool:
                return any(isinstance(one, StationDecided) and one.attempt >= lit[-1] for one in events)

            await wait_for(decided, "the bound of the second cycle")
        finally:
            await station.stop()
    heralds = [(one.attempt, one.lane) for one in events if isinstance(one, StationHeralded)]
    assert heralds == [(attempt, lane) for attempt in lit if turn_of(link, attempt) in granted]
    assert not any(count for name, count in health.counts.items() if name.startswith("device_order"))
