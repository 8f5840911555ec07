"""A network schedule in the slot table of an emulated FPGA: pulses at its inputs in every period, in its
slots and beside them, and what it records of them.

Which attempts count is worked out by the link layer, attempt by attempt, as both ends of a link do.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

import pytest

from bellwire.core.link_messages import Window
from bellwire.core.settings import LinkSettings
from bellwire.drivers.attempt_numbers import network_number
from bellwire.drivers.herald_frames import Frame
from bellwire.drivers.herald_settings import HeraldSettings, settings_for_travel
from bellwire.link_layer.turns import span_in_turns
from bellwire.runtime.slot_frames import attempt_numbers, with_slots
from tests.planner.calendar.made_up import LINK_SETTINGS
from tests.simulator_backend.devices.wire import START_NS, S, Wire, station

PERIOD_NS = 1_000_000
PERIODS = 10
"""Of a slot."""
TURNS = 5
CYCLES = 2
LANES = 2
GRANTED = [(1, 3), (0, 2), (0, 4), (0, 1, 4), (4,), (1, 2, 3)]


def link_of(granted: tuple[int, ...]) -> LinkSettings:
    return LINK_SETTINGS(
        architecture="double_click",
        lanes=LANES,
        period_ns=PERIOD_NS,
        click_delay_ns=50_000,
        herald_delay_ns=(50_000, 20_000),
        turn_ns=PERIODS * PERIOD_NS,
        turns=TURNS,
        turn_guard_ns=1_500_000,
        turns_granted=granted,
    )


def plain(link: LinkSettings) -> HeraldSettings:
    return settings_for_travel(
        link.period_ns, link.lanes, link.click_delay_ns, architecture=link.architecture
    )


def settings_of(link: LinkSettings) -> HeraldSettings:
    return with_slots(plain(link), link)


def agreed(link: LinkSettings) -> set[int]:
    """What both ends of the link attempt in some cycles."""
    assert link.turns_granted is not None
    last = CYCLES * TURNS * PERIODS - 1
    window = Window(
        run=1, epoch_ns=START_NS, fence=1, first=0, last=last, frame_attempts=PERIODS, schedule=(), owners=(),
        granted=link.turns_granted,
    )  # fmt: skip
    found: set[int] = set()
    attempt = 0
    while span := span_in_turns(link, (window,), START_NS, attempt):
        found |= set(range(span[0], span[1] + 1))
        attempt = span[1] + 1
    return found


class Told(NamedTuple):
    """What a record says, by its number and by its stamp."""

    attempt: int
    lane: int
    edge_ns: int  # from the start of the run


def pulsed(wire: Wire, link: LinkSettings) -> list[Told]:
    """Two detectors fire in every period of every lane of some cycles, as if light came in all of them."""
    wire.credit(1000, 0)
    step_ns = link.period_ns // link.lanes
    for period in range(CYCLES * TURNS * PERIODS * link.lanes):
        at_ns = START_NS + period * step_ns + link.click_delay_ns
        for channel in (0, 1):
            wire.core.hit(channel, at_ns * 1000, at_ns)
    wire.now_ns = START_NS + CYCLES * TURNS * PERIODS * link.period_ns
    wire.tick()
    numbers = attempt_numbers(link)
    assert numbers is not None
    clock = wire.core.clock
    begun = clock.tick_of_second(START_NS // S) << clock.hardware.fine_bits
    found: list[Told] = []
    for record in wire.records():
        made, lane = divmod(record.attempt, link.lanes)
        found.append(Told(network_number(numbers, made), lane, record.stamp - begun))  # a fine unit is 1 ns
    return found


def executes(link: LinkSettings, settings: HeraldSettings) -> bool:
    """Whether a device with these settings heralds exactly in the attempts that the ends agree on."""
    wire = station(settings=settings)
    first_ns, step_ns = plain(link).start_delay_ns, link.period_ns // link.lanes
    wanted = [
        Told(attempt, lane, first_ns + (attempt * link.lanes + lane) * step_ns)
        for attempt in sorted(agreed(link))
        for lane in range(link.lanes)
    ]
    return pulsed(wire, link) == wanted


@pytest.mark.parametrize("granted", GRANTED, ids=str)
def test_pulses_herald_in_the_attempts_that_both_ends_agree_on_and_nowhere_else(
    granted: tuple[int, ...],
) -> None:
    link = link_of(granted)
    made = agreed(link)
    assert 0 < len(made) < CYCLES * TURNS * PERIODS - PERIODS  # pulses fall beside the slots as well
    assert executes(link, settings_of(link))


def one_later(frame: Frame) -> Frame:
    return replace(frame, slots=(*frame.slots[1:], frame.slots[0]))


def one_fewer(frame: Frame) -> Frame:
    first, *others = frame.slots
    pause_ns = first.gap_ns + PERIOD_NS
    return replace(frame, slots=(replace(first, attempts=first.attempts - LANES, gap_ns=pause_ns), *others))


def one_long(frame: Frame) -> Frame:
    *others, last = frame.slots
    return replace(frame, slots=(*others, replace(last, attempts=last.attempts + 1, gap_ns=0)))


@pytest.mark.parametrize("planted", [one_later, one_fewer, one_long], ids=lambda one: one.__name__)
def test_a_table_that_is_wrong_in_one_window_is_noticed(planted: Callable[[Frame], Frame]) -> None:
    link = link_of((0, 2, 3))
    settings = settings_of(link)
    assert settings.frame is not None
    assert executes(link, settings)
    assert not executes(link, replace(settings, frame=planted(settings.frame)))


@pytest.mark.parametrize("late_ns", [-PERIODS * PERIOD_NS, PERIOD_NS // LANES, PERIODS * PERIOD_NS])
def test_a_cycle_that_begins_at_another_time_is_noticed(late_ns: int) -> None:
    link = link_of((1, 3))
    settings = settings_of(link)
    assert not executes(link, replace(settings, start_delay_ns=settings.start_delay_ns + late_ns))
