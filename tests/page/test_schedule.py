"""The strip of a schedule that the lab file decides: cycles laid out around now."""

from dataclasses import replace

from bellwire.labs import load_lab
from bellwire.page.schedule import AHEAD_S, BEHIND_S, schedule_view, slots_of_cycle
from tests.page.telling import LABS, NOW_NS, SECOND_NS

LAB = load_lab(LABS / "scheduled_hub.yaml")
assert LAB.schedule is not None
SCHEDULE = LAB.schedule
CYCLE_NS = SCHEDULE.schedule.frame.cycle_ns


def test_grants_come_again_every_cycle_of_the_common_clock() -> None:
    slots = slots_of_cycle(SCHEDULE, NOW_NS)
    assert min(slot.to_ns for slot in slots) > NOW_NS - BEHIND_S * SECOND_NS
    assert max(slot.from_ns for slot in slots) < NOW_NS + AHEAD_S * SECOND_NS
    later = {(slot.resource, slot.from_ns, slot.kind) for slot in slots_of_cycle(SCHEDULE, NOW_NS + CYCLE_NS)}
    shifted = {(slot.resource, slot.from_ns + CYCLE_NS, slot.kind) for slot in slots}
    assert later == shifted
    calibrations = {slot.from_ns % CYCLE_NS for slot in slots if slot.kind == "calibration"}
    assert calibrations == {0, 50_000_000, 100_000_000}  # slots 0, 1 and 2 of 50 ms, as the lab file says


def test_the_strip_shows_who_has_what_now_and_the_same_as_a_table() -> None:
    view = schedule_view(slots_of_cycle(SCHEDULE, NOW_NS), LAB.network.links, NOW_NS)
    assert view.strip.count('class="lane"') == len(
        {slot.resource for slot in slots_of_cycle(SCHEDULE, NOW_NS)}
    )
    assert "at work now" in view.sentence
    assert {row.cells["what"].text for row in view.rows} >= {"attempts", "calibration"}


def test_a_lab_without_a_schedule_says_so() -> None:
    lab = replace(LAB, schedule=None)
    view = schedule_view(None, lab.network.links, NOW_NS)
    assert "without a network schedule" in view.sentence
    assert view.strip == ""
