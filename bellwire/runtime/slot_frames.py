"""The slots of a network schedule as the frame of a heralding FPGA, and the numbers of the attempts in it.

Owns the way from the turns that a schedule grants to a link to what its station's sequencer is told: it
makes the attempts that both ends of the link make, and no others. Refuses the choice of slots
(planner/calendar) and register values (drivers/herald_frames.py).

Lanes take turns within an attempt, so the device makes `lanes` attempts for each of the link. The frame
begins with the first window of a cycle; what lies before it belongs to the start delay of the run.
"""

from dataclasses import replace
from typing import Final, NamedTuple

from bellwire.core.errors import ConfigError
from bellwire.core.settings import LinkSettings
from bellwire.drivers.attempt_numbers import AttemptNumbers
from bellwire.drivers.herald_frames import ATTEMPTS_MAX, Frame, FrameSlot
from bellwire.drivers.herald_settings import SLOTS, HeraldSettings
from bellwire.planner.calendar.frames import Frame as Slots
from bellwire.planner.calendar.frames import SlotRow, SlotTable, slot_table

ONLY_LINK: Final = 0
"""A station serves one link; its device numbers links for those that serve several."""


class _Times(NamedTuple):
    period_ns: int
    decided_ns: int
    guard_ns: int


def table_of(link: LinkSettings) -> SlotTable | None:
    """The slot table of a link; None where its station attempts for ever: without a schedule, with all slots
    of a cycle, and with none, because no run ever begins then."""
    granted = link.turns_granted
    if not granted or len(granted) == link.turns:
        return None
    times = _Times(link.period_ns, link.click_delay_ns + max(link.herald_delay_ns), link.turn_guard_ns)
    return slot_table(Slots(link.turn_ns, link.turns), times, granted)


def with_slots(settings: HeraldSettings, link: LinkSettings) -> HeraldSettings:
    """An analyser's settings with the frame of its link's slots.

    Raises ConfigError when the slots need more rows than the device has, or have no ends.
    """
    table = table_of(link)
    if table is None:
        return settings
    if not link.click_delay_ns + max(link.herald_delay_ns) + link.turn_guard_ns:
        raise ConfigError(
            f"attempts of link {link.link} are decided as they begin, and one would lie on the end of each "
            "slot; give the schedule a clock_sigma_us above 0"
        )
    slots = tuple(slot for row in table.rows for slot in _device_slots(row, link.lanes))
    if len(slots) > SLOTS:
        raise ConfigError(
            f"the {len(table.rows)} windows of link {link.link} in a cycle need {len(slots)} rows of at most "
            f"{ATTEMPTS_MAX} attempts of a lane; the slot table of its station {link.station} has {SLOTS}: "
            "give fewer and longer slots, or a longer attempt period"
        )
    return replace(
        settings,
        start_delay_ns=settings.start_delay_ns + table.starts_ns,
        frame=Frame(length_ns=link.turn_ns * link.turns, slots=slots),
    )


def _device_slots(row: SlotRow, lanes: int) -> list[FrameSlot]:
    """Rows of the device's table for one window; all but the last are full and without a pause."""
    full = ATTEMPTS_MAX // lanes  # whole attempts of the link, for people who read the table
    counts = [full] * ((row.attempts - 1) // full)
    last = row.attempts - sum(counts)
    return [
        *(FrameSlot(link=ONLY_LINK, attempts=count * lanes) for count in counts),
        FrameSlot(link=ONLY_LINK, attempts=last * lanes, gap_ns=row.gap_ns),
    ]


def attempt_numbers(link: LinkSettings) -> AttemptNumbers | None:
    """Which attempts of a cycle are made; None: all."""
    table = table_of(link)
    if table is None:
        return None
    windows: list[tuple[int, int]] = []
    at_ns = table.starts_ns
    for row in table.rows:
        windows.append((at_ns // link.period_ns, row.attempts))
        at_ns += row.attempts * link.period_ns + row.gap_ns
    return AttemptNumbers(link.turn_ns * link.turns // link.period_ns, tuple(windows))
