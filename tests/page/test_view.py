"""What is shown of a lab, from what its agents say."""

from typing import Any

import pytest

from bellwire.northbound.tokens import Principal
from bellwire.page.faults import DARK
from bellwire.page.values import Order, Quality, Row, Shown, Tone
from bellwire.page.view import LabModel
from tests.page.telling import (
    NOW_NS,
    SECOND_NS,
    ended,
    links,
    look,
    report,
    request,
    row,
    seen,
    status,
    three_nodes,
)

OPERATOR = Principal("experiment", "operator", "1")
OTHER = Principal("another", "operator", "2")
VIEWER = Principal("watcher", "viewer", "3")
ADMIN = Principal("keeper", "admin", "4")


def shown(row: Row, name: str) -> Shown:
    found = row.cells[name]
    assert isinstance(found, Shown)
    return found


def by_key(rows: tuple[Row, ...] | list[Row]) -> dict[str, Row]:
    return {row.key: row for row in rows}


def names(orders: Any) -> list[str]:
    return [order.name for order in orders if isinstance(order, Order)]


# ---- the verdict and the faults


def test_a_lab_in_order_is_well_and_says_what_it_does() -> None:
    view = seen(look(), look(NOW_NS + SECOND_NS), requests=[request()])
    assert (view.verdict.tone, view.verdict.sentence) == (Tone.GOOD, "All is well")
    assert view.verdict.details.startswith("2 of 2 links ready · 1 request running · 0 pairs per second")
    assert view.faults == ()


def test_a_request_that_came_after_the_first_look_counts_from_when_it_was_first_seen() -> None:
    model = LabModel(three_nodes())
    for second, delivered in enumerate((None, 3, 9, 15)):
        kept = [] if delivered is None else [request(delivered=delivered)]
        view = model.take(look(NOW_NS + second * SECOND_NS), kept, ())
    assert "4 pairs per second delivered" in view.verdict.details, "12 in three seconds"


def test_an_instrument_that_is_lost_is_a_fault_with_its_reason_and_a_remedy() -> None:
    view = seen(look(answers={"west": status("west", herald="lost", reason="no answer for 3 s")}))
    (fault,) = view.faults
    assert shown(fault, "what").text == "west-herald is lost: no answer for 3 s"
    assert "power and cable" in (shown(fault, "remedy").text or "")
    assert view.verdict.sentence == "1 fault"
    assert by_key(view.links)["alice-relay"].tone is Tone.BAD
    assert by_key(view.links)["relay-bob"].tone is Tone.GOOD


def test_a_silent_node_is_a_fault_since_it_fell_silent() -> None:
    view = seen(
        look(), look(NOW_NS + SECOND_NS, silent=["west"]), look(NOW_NS + 9 * SECOND_NS, silent=["west"])
    )
    (fault,) = view.faults
    assert shown(fault, "what").text == "west does not answer"
    assert shown(fault, "since").at_ns == NOW_NS + SECOND_NS


def test_a_fault_that_passes_and_comes_again_counts_from_its_return() -> None:
    view = seen(
        look(silent=["west"]), look(NOW_NS + SECOND_NS), look(NOW_NS + 2 * SECOND_NS, silent=["west"])
    )
    assert shown(view.faults[0], "since").at_ns == NOW_NS + 2 * SECOND_NS


def test_a_lab_of_which_nobody_answers_is_one_fault_and_not_five() -> None:
    view = seen(look(silent=["alice", "relay", "bob", "west", "east"]))
    assert [shown(fault, "remedy").text for fault in view.faults] == [DARK]
    assert (view.verdict.tone, view.verdict.sentence) == (Tone.OFF, "No word from the lab")
    assert {row.tone for row in view.links} == {Tone.OFF}


def test_neighbours_that_do_not_hear_each_other_are_told_apart_from_dead_ones() -> None:
    deaf = status("alice") | {"peers": {"relay": "down", "west": "up", "bob": "down"}}
    view = seen(look(answers={"alice": deaf}, silent=["bob"]))
    assert [fault.key for fault in view.faults] == ["silent bob", "peer alice relay"]


def test_a_request_that_failed_is_to_be_looked_at_for_ten_minutes_and_no_longer() -> None:
    kept, news = [request(state="failed", reason="no way")], [ended(1, "failed", "no way")]
    assert seen(look(), requests=kept, told=news).verdict.sentence == "1 thing to look at"
    later = look(NOW_NS + 601 * SECOND_NS)
    assert seen(look(), later, requests=kept, told=news).verdict.sentence == "All is well"


def test_faults_that_stop_pairs_stand_above_things_to_look_at() -> None:
    kept = [request(state="suspended")]
    view = seen(look(silent=["west"]), requests=kept)
    assert [fault.key for fault in view.faults] == ["silent west", "request q"]


# ---- links


def test_the_rate_of_heralds_is_counted_between_looks_and_is_not_known_before() -> None:
    first = seen(look(heralds=10))
    assert shown(by_key(first.links)["alice-relay"], "heralds").quality(NOW_NS) is Quality.UNKNOWN
    view = seen(look(heralds=10), look(NOW_NS + 2 * SECOND_NS, heralds=60))
    assert shown(by_key(view.links)["alice-relay"], "heralds").text == "25/s"


def test_a_fidelity_that_nobody_has_measured_says_that_it_is_modelled() -> None:
    link = by_key(seen(look()).links)["alice-relay"]
    assert shown(link, "fidelity").text == "0.950 as modelled"
    assert shown(link, "visibility").text == "0.933 implied"  # (4 x 0.95 - 1) / 3


def test_a_measured_fidelity_has_its_interval_and_grows_stale() -> None:
    link = by_key(seen(look(told=links(tested=400))).links)["alice-relay"]
    assert shown(link, "fidelity").text == "0.950 (0.930 to 0.970)"
    assert shown(link, "fidelity").quality(NOW_NS) is Quality.GOOD
    assert shown(link, "fidelity").quality(NOW_NS + 121 * SECOND_NS) is Quality.STALE


def test_figures_of_a_silent_node_keep_the_time_at_which_they_were_told() -> None:
    view = seen(look(told=links(tested=400)), look(NOW_NS + 300 * SECOND_NS, silent=["alice"]))
    link = by_key(view.links)["alice-relay"]
    assert shown(link, "fidelity").quality(view.at_ns) is Quality.STALE
    assert shown(link, "heralds").quality(view.at_ns) is Quality.UNKNOWN


# ---- the ledger


def test_a_pair_that_two_replicas_tell_is_counted_once() -> None:
    both = row(("l/1:0", "m/1:1"))
    other = row(("l/2:0", "m/2:1"), fidelity=0.7, age_ns=90_000_000)
    ledgers = {"alice": {"count": 2, "rows": [both, other]}, "bob": {"count": 1, "rows": [dict(both)]}}
    view = seen(look(ledgers=ledgers))
    (kind,) = view.ledger.kinds
    told = {name: shown(kind, name).text for name in ("chain", "count", "oldest", "fidelity", "least")}
    assert told == {
        "chain": "alice –○– bob",
        "count": "2",
        "oldest": "90 ms",
        "fidelity": "0.800",
        "least": "0.700",
    }
    assert [shown(pair, "age").text for pair in view.ledger.oldest] == ["90 ms", "30 ms"]


def test_a_ledger_of_thousands_is_a_few_rows_and_says_what_they_are_sums_of() -> None:
    rows = [
        row((f"l/{number}:0", f"m/{number}:1"), request=f"q{number % 40}", age_ns=number)
        for number in range(300)
    ]
    view = seen(look(ledgers={"alice": {"count": 4000, "rows": rows}}))
    assert (len(view.ledger.kinds), len(view.ledger.oldest)) == (24, 12)
    assert view.ledger.sentence == "4000 pairs in memory; sums are over the 300 oldest that were told."


def test_pairs_of_a_node_that_has_fallen_silent_are_not_shown() -> None:
    ledgers = {"alice": {"count": 1, "rows": [row(("l/1:0", "m/1:1"))]}}
    view = seen(look(ledgers=ledgers), look(NOW_NS + SECOND_NS, silent=["alice"]))
    assert view.ledger.kinds == ()


# ---- requests


def test_requests_that_are_not_over_stand_first_and_the_newest_of_the_others_follow() -> None:
    kept = [request("old", "completed", 1), request("new", "completed", 3), request("runs", number=2)]
    assert [row.key for row in seen(look(), requests=kept).request_rows] == ["runs", "new", "old"]


def test_what_the_monitor_did_stands_beside_the_request_and_among_what_happened() -> None:
    acted = report(1, "corrective_action", action="suspend", suspended_ns=60 * SECOND_NS, reason="too slow")
    progress = report(2, "request_progress", rate_hz=12.34, fidelity=0.876)
    view = seen(look(), requests=[request()], told=[acted, progress])
    (only,) = view.request_rows
    assert shown(only, "action").title == "suspended for 60 s: too slow"
    assert (shown(only, "rate").text, shown(only, "fidelity").text) == ("12.3/s", "0.876")
    assert [happening.text for happening in view.happenings] == ["suspended for 60 s: too slow"]


def test_the_rate_of_a_request_is_stale_when_its_source_says_nothing_more() -> None:
    view = seen(
        look(), requests=[request()], told=[report(1, "request_progress", rate_hz=12.34, fidelity=0.8)]
    )
    assert shown(view.request_rows[0], "rate").quality(NOW_NS + 6 * SECOND_NS) is Quality.STALE


@pytest.mark.parametrize(
    ("who", "state", "offered"),
    [
        (OPERATOR, "in_progress", ["suspend", "cancel"]),
        (OPERATOR, "suspended", ["resume", "cancel"]),
        (OPERATOR, "queued", ["cancel"]),
        (OPERATOR, "completed", []),
        (OTHER, "in_progress", []),
        (VIEWER, "in_progress", []),
        (ADMIN, "in_progress", ["suspend", "cancel"]),
    ],
)
def test_orders_are_offered_to_whoever_may_give_them(who: Principal, state: str, offered: list[str]) -> None:
    view = seen(look(), requests=[request(state=state)])
    assert names(view.rows_for(who)[0].orders) == offered


def test_a_link_can_be_calibrated_by_an_admin_of_a_lab_with_a_console_only() -> None:
    model = LabModel(three_nodes())
    view = model.take(look(), (), ())
    assert names(model.links_for(view, ADMIN)[0].orders) == []
    object.__setattr__(model.lab, "console", "tcp://127.0.0.1:1")
    assert names(model.links_for(view, ADMIN)[0].orders) == ["calibrate"]
    assert names(model.links_for(view, OPERATOR)[0].orders) == []


# ---- instruments


def test_a_reading_is_as_old_as_its_instrument_says_by_the_clock_of_this_computer() -> None:
    reading = {
        "parameter": "power",
        "value": 1.5,
        "unit": "mW",
        "quality": "good",
        "taken_at_ns": -4 * SECOND_NS,
    }
    doubted = reading | {"parameter": "bias", "quality": "stale"}
    device = {"full_name": "west-herald", "model": "X", "readings": [reading, doubted]}
    view = seen(look(devices={"west": [device]}))
    first = view.instruments[0]
    told = first.cells["readings"]
    assert isinstance(told, list)
    assert [one.text for one in told] == ["power 1.5 mW", "bias 1.5 mW"]
    assert [one.at_ns for one in told] == [NOW_NS - 4 * SECOND_NS] * 2
    assert [one.quality(NOW_NS) for one in told] == [Quality.GOOD, Quality.STALE]


def test_instruments_that_are_ready_and_have_no_values_share_one_row() -> None:
    view = seen(look(answers={"east": status("east", timing="refused", reason="serial 7, not 8")}))
    assert [row.key for row in view.instruments] == ["east-timing", "others"]
    assert shown(view.instruments[0], "state").title == "serial 7, not 8"
    assert (
        shown(view.instruments[1], "readings").text
        == "memory at alice, relay, bob; herald at west, east; timing at west"
    )


# ---- the map


def test_a_link_that_does_not_work_is_told_by_its_line_a_sign_and_words() -> None:
    view = seen(look(answers={"west": status("west", herald="lost")}))
    for drawing in (view.map_wide, view.map_tall):
        assert drawing.count('class="way way--bad"') == 1
        assert '<text class="sign__text"' in drawing
        assert "alice-relay: degraded" in drawing
    words = {row.key: shown(row, "state").text for row in view.map_rows}
    assert (words["link alice-relay"], words["link relay-bob"]) == ("degraded", "ready")
