"""History, schedule, places, calibrations and what is left of a calibration's process."""

import json
from dataclasses import replace
from math import dist
from pathlib import Path
from typing import Any

import pytest

from bellwire.labs import load_lab
from bellwire.northbound.problems import Problem
from bellwire.page.calibrating import ended
from bellwire.page.calibrations import Calibrated, calibration_rows, expiry_sentence, visibility_in
from bellwire.page.history import COARSE_KEPT, FINE_KEPT, FINE_S, LinkHistory, Ring
from bellwire.page.orders import terms_of
from bellwire.page.places import APART, places_of
from bellwire.page.schedule import BARS_MAX, Slot, schedule_view
from bellwire.page.values import Row, Shown, Tone
from tests.page.telling import LABS, NOW_NS, SECOND_NS, three_nodes

# ---- history


def test_a_point_is_the_mean_of_its_stretch_and_what_is_unknown_does_not_count() -> None:
    ring = Ring(5, 10)
    for second, rate in enumerate((10.0, 20.0, None, 30.0, 40.0, 99.0)):
        ring.add(second * SECOND_NS, (rate, None, 0.5))
    assert ring.points() == ((0, 25.0, None, 0.5),)


def test_a_time_without_samples_is_a_gap() -> None:
    ring = Ring(5, 10)
    for second in (0, 60, 66):
        ring.add(second * SECOND_NS, (1.0, 1.0, 1.0))
    assert [point[1] for point in ring.points()] == [1.0, None, 1.0]


def test_a_history_is_bounded_however_long_the_run() -> None:
    history = LinkHistory()
    for second in range(COARSE_KEPT * 300 * 2):
        if second % 3 == 0:
            history.add(second * SECOND_NS, heralds_hz=1.0, fidelity=0.9, visibility=None)
    assert (len(history.fine.points()), len(history.coarse.points())) == (FINE_KEPT, COARSE_KEPT)
    assert len(history.line()) == 60
    span_ms = history.fine.points()[-1][0] - history.fine.points()[0][0]
    assert span_ms == (FINE_KEPT - 1) * FINE_S * 1000


# ---- schedule


def slot(
    resource: str, begins_s: float, lasts_s: float, kind: str = "attempts", who: str | None = "q"
) -> Slot:
    begins_ns = NOW_NS + round(begins_s * 1e9)
    return Slot(resource, "alice-relay", kind, who, begins_ns, begins_ns + round(lasts_s * 1e9))


def test_the_strip_draws_what_is_near_now_and_the_table_says_the_same() -> None:
    slots = [
        slot("a", -1, 2),
        slot("a", 1, 0.1, "guard", None),
        slot("b", 3, 1, "calibration", None),
        slot("b", 90, 1),
    ]
    view = schedule_view(slots, {}, NOW_NS)
    assert view.sentence == "2 resources, 1 of them at work now."
    assert view.strip.count('class="bar') == 3
    assert 'class="bar bar--attempts" style="left:8.33%;width:16.67%" title="q">q<' in view.strip
    told = [[shown.text for shown in row.cells.values() if isinstance(shown, Shown)] for row in view.rows]
    assert told == [["a", "attempts", "q", "now", "2 s"], ["b", "calibration", "–", "3 s", "1 s"]]


def test_names_in_the_strip_cannot_be_markup() -> None:
    view = schedule_view([slot("<b>", 0, 8, who="<script>")], {}, NOW_NS)
    assert "<script>" not in view.strip
    assert "&lt;script&gt;" in view.strip


def test_a_crowded_schedule_is_drawn_up_to_its_bound_and_says_what_is_left_out() -> None:
    view = schedule_view([slot("a", number / 1000, 0.001) for number in range(1000)], {}, NOW_NS)
    assert view.strip.count('class="bar') == BARS_MAX
    assert f"{1000 - BARS_MAX} shorter grants are not drawn" in view.sentence


def test_without_a_schedule_it_is_said_and_calendars_of_single_links_are_named_as_such() -> None:
    link = next(iter(three_nodes().network.links.values()))
    with_calendar = replace_link(link, calendar=("q", None))
    view = schedule_view(None, {link.link: with_calendar}, NOW_NS)
    assert view.strip == ""
    assert view.sentence.startswith("This lab runs without a network schedule")
    assert [shown.text for shown in view.rows[0].cells.values() if isinstance(shown, Shown)] == [
        link.link,
        "calendar of frames of 10 ms",
        "q, free",
    ]
    assert schedule_view([], {}, NOW_NS).sentence == "The network has a schedule, and nothing is in it."


def replace_link(link: Any, **changes: Any) -> Any:
    import msgspec

    return msgspec.structs.replace(link, **changes)


# ---- places


def shipped() -> list[str]:
    """Without those whose light takes seconds to work out; their maps are two or three nodes."""
    names = sorted(path.stem for path in LABS.glob("*.yaml"))
    return [name for name in names if not name.startswith(("optics_", "entangled_"))]


@pytest.mark.parametrize("name", shipped())
def test_every_shipped_lab_has_a_map_that_is_always_the_same_and_on_which_no_two_nodes_touch(
    name: str,
) -> None:
    lab = load_lab(LABS / f"{name}.yaml")
    places = places_of(lab.network, lab.document)
    assert places == places_of(lab.network, lab.document)
    assert set(places) == set(lab.network.nodes)
    ends = [places[node] for node, one in lab.network.nodes.items() if one.role != "station"]
    assert all(0.0 <= x <= 1.0 and 0.0 <= y <= 1.0 for x, y in ends)
    apart = [dist(one, other) for index, one in enumerate(ends) for other in ends[:index]]
    assert min(apart, default=1.0) > 0.5 * APART


def test_a_chain_lies_on_a_line_in_its_order_and_by_the_roots_of_its_lengths() -> None:
    lab = three_nodes()
    places = places_of(lab.network, lab.document)
    assert [places[node][1] for node in ("alice", "relay", "bob")] == pytest.approx([0.5] * 3)
    assert [places[node][0] for node in ("alice", "relay", "bob")] == pytest.approx([0.0, 0.5, 1.0], abs=0.01)


def test_positions_in_the_lab_file_are_taken_as_they_are(tmp_path: Path) -> None:
    text = (LABS / "three_node_repeater.yaml").read_text(encoding="utf-8")
    for node, place in (("alice", "[0, 0]"), ("relay", "[10, 10]"), ("bob", "[20, 0]")):
        text = text.replace(f"  {node}:\n", f"  {node}:\n    position_km: {place}\n", 1)
    file = tmp_path / "placed.yaml"
    file.write_text(text, encoding="utf-8")
    lab = load_lab(file, live=True)
    places = places_of(lab.network, lab.document)
    assert places["alice"] == pytest.approx((0.0, 0.75))  # the axis runs downwards: north is above
    assert places["relay"] == pytest.approx((0.5, 0.25))
    assert places["bob"] == pytest.approx((1.0, 0.75))


# ---- calibrations


def record(
    state: str = "in force", age_s: float = 60.0, left_s: float | None = 3600.0, **found: Any
) -> dict[str, Any]:
    return {
        "state": state,
        "outcome": "failed" if state == "out of limits" else "passed",
        "ended_ns": NOW_NS - round(age_s * 1e9),
        "age_s": age_s,
        "left_s": left_s,
        "reason": "within its limits",
        "quantities": {name: {"value": value, "sigma": 0.01, "unit": ""} for name, value in found.items()},
    }


def calibrated(
    required: tuple[str, ...] = (), due_in_s: float | None = None, **decides: Any
) -> dict[str, Calibrated]:
    procedures = {name: {"decides": one, "latest": one} for name, one in decides.items()}
    described = {"required": list(required), "due_in_s": due_in_s, "procedures": procedures}
    return {"l": Calibrated(described, NOW_NS)}


def tones(rows: list[Row]) -> dict[str, tuple[str | None, Tone | None]]:
    found = {}
    for row in rows:
        state = row.cells["state"]
        assert isinstance(state, Shown)
        found[row.key] = (state.text, row.tone)
    return found


def test_calibrations_say_whether_they_hold_and_those_that_are_due_stand_first() -> None:
    links = calibrated(
        ("hom", "rate"),
        hom=record(),
        rate=None,
        old=record("out of date", left_s=-5.0),
        soon=record(left_s=10.0),
    )
    assert tones(calibration_rows(links)) == {
        "l rate": ("never done", Tone.BAD),
        "l old": ("out of date", Tone.WARN),
        "l soon": ("runs out soon", Tone.WARN),
        "l hom": ("in force", Tone.GOOD),
    }


def test_a_calibration_looks_stale_in_the_browser_at_the_moment_at_which_it_runs_out() -> None:
    (row,) = calibration_rows(calibrated(hom=record(age_s=60.0, left_s=30.0)))
    state = row.cells["state"]
    assert isinstance(state, Shown)
    assert state.quality(NOW_NS + 30 * SECOND_NS - 1).value == "good"
    assert state.quality(NOW_NS + 30 * SECOND_NS + 1).value == "stale"


def test_the_newest_visibility_that_was_measured_is_the_links() -> None:
    links = calibrated(dip=record(age_s=500.0, hom_visibility=0.91), newer=record(age_s=5.0, visibility=0.93))
    found = visibility_in(links["l"])
    assert found is not None
    assert (found.value, found.sigma, found.at_ns) == (0.93, 0.01, NOW_NS - 5 * SECOND_NS)
    assert found.good_for_s == pytest.approx(3605.0)


def test_what_runs_out_next_is_a_sentence() -> None:
    assert (
        expiry_sentence(calibrated(due_in_s=120.0, hom=record())) == "The next to run out is of l, in 2 min."
    )
    assert expiry_sentence(calibrated()) == "No link of this lab must be calibrated, and none ever was."


def step(outcome: str, reason: str = "") -> dict[str, Any]:
    return {"procedure": "hom", "outcome": outcome, "reason": reason}


@pytest.mark.parametrize(
    ("code", "steps", "told"),
    [
        (0, [step("passed"), step("passed")], (True, "2 of 2 procedures passed")),
        (1, [step("passed"), step("failed", "0.5 < 0.9")], (False, "hom failed: 0.5 < 0.9")),
        (
            1,
            [step("passed"), {"procedure": "x", "left_out": "no switch"}],
            (False, "1 of 2 procedures passed, 1 left out: no switch"),
        ),
        (0, [], (True, "nothing was due")),
    ],
)
def test_a_calibration_that_is_over_is_told_in_a_sentence(
    code: int, steps: list[dict[str, Any]], told: tuple[bool, str]
) -> None:
    assert ended(code, json.dumps({"link": "l", "steps": steps}), "") == told


def test_a_calibration_that_could_not_begin_is_told_by_its_last_word() -> None:
    assert ended(2, "", "warning\nmiddle does not answer\n") == (False, "middle does not answer")


# ---- the form of a request


def test_the_form_of_a_request_is_checked_as_the_api_checks_terms() -> None:
    terms = terms_of({"from": "a", "to": "b", "count": "12", "fidelity_threshold": "0.9", "request_id": ""})
    assert (terms.target_nodes, terms.count, terms.fidelity_threshold) == (["a", "b"], 12, 0.9)
    assert terms_of({"from": "a", "to": "b", "count": ""}).until_cancelled
    for wrong in (
        {"from": "a", "to": "a"},
        {"from": "a", "to": "b", "count": "0"},
        {"from": "a", "to": None},
    ):
        with pytest.raises(Problem):
            terms_of(wrong)


def test_a_standing_request_is_one_more_between_the_nodes_of_the_first() -> None:
    from bellwire.cli.page_beside import with_standing_request

    lab = three_nodes()
    more = with_standing_request(lab)
    assert more.requests[:-1] == lab.requests
    assert more.requests[-1].until_cancelled
    assert more.requests[-1].target_nodes == ("alice", "bob")
    assert replace(more, requests=lab.requests) == lab
