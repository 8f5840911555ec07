"""What is made of reports, status answers and truth: requests, links, swaps, wrong frames."""

import json
from pathlib import Path

import pytest
from rich.console import Console, RenderableType

from bellwire.cli import show
from bellwire.cli.lab_status import LabStatus, link_counts, swap_counts
from bellwire.cli.picture import LabPicture
from bellwire.labs import load_lab
from tests.cli.running import (
    SECOND_NS,
    answers,
    at_work,
    delivered,
    status_report,
    three_nodes,
    truth,
)


def test_rates_count_from_submission_and_from_the_first_pair() -> None:
    picture, _ = at_work(pairs=11)
    row = picture.rows()["demo"]
    assert (row["delivered"], row["asked"], row["status"]) == (11, 100, "in_progress")
    assert row["rate_hz"] == pytest.approx(10.0)
    assert row["rate_from_submission_hz"] == pytest.approx(11 / 1.1)
    assert row["first_pair_s"] == pytest.approx(0.1)
    assert row["latency_s"] == {name: pytest.approx(0.1) for name in ("p50", "p95", "p99")}
    assert row["fidelity_mean"] == pytest.approx(0.9)
    assert row["fidelity_standard_error"] == pytest.approx(0.0, abs=1e-9)


def test_a_plan_in_force_says_what_is_promised_and_whose_measured_figures_that_rests_on() -> None:
    picture, _ = at_work(pairs=3)
    before = picture.rows()["demo"]
    assert before["measured_links"] == []
    fields = {
        "version": 2,
        "rate_hz": 12.5,
        "latency_ns": 80_000_000,
        "fidelity": 0.81,
        "tree": "((alice relay) (relay bob))",
        "measured_links": "alice-relay relay-bob",
    }
    picture.take(
        [{"node": "alice", "name": "plan_active", "request": "demo", "at_ns": SECOND_NS, "fields": fields}]
    )
    row = picture.rows()["demo"]
    assert (row["predicted_rate_hz"], row["fidelity_predicted"]) == (12.5, 0.81)
    assert row["measured_links"] == ["alice-relay", "relay-bob"]
    assert before["predicted_rate_hz"] != 12.5


def test_a_report_that_comes_twice_counts_once_and_a_void_pair_is_taken_back() -> None:
    picture, _ = at_work(pairs=3)
    void = {**delivered(2), "name": "pair_void"}
    picture.take([delivered(2), void, void])
    row = picture.rows()["demo"]
    assert (row["delivered"], row["voided"]) == (2, 1)


def test_corrective_actions_are_listed_with_what_they_changed_and_why() -> None:
    picture, _ = at_work(pairs=1)
    assert show.corrections_table(picture.rows()) is None
    actions = [
        {"action": "adjust_rate", "percent": -10.0, "suspended_ns": None, "reason": "6 pairs/s of 10 wanted"},
        {"action": "suspend", "percent": None, "suspended_ns": 50 * SECOND_NS, "reason": "no pair in 5 s"},
    ]
    begun_ns = picture.requests["demo"].submitted_ns
    assert begun_ns is not None
    for number, fields in enumerate(actions):
        terms = {"rate_wanted_hz": 9.0, "fidelity_wanted": None, "number": number + 1}
        at_ns = begun_ns + (number + 1) * SECOND_NS
        told = {"node": "alice", "name": "corrective_action", "request": "demo", "at_ns": at_ns}
        picture.take([told | {"fields": fields | terms}])
    assert [one["at_s"] for one in picture.rows()["demo"]["corrections"]] == [1.0, 2.0]
    table = show.corrections_table(picture.rows())
    assert table is not None
    lines = drawn(table)
    assert "demo 1.0 adjust rate -10 % 9 - 6 pairs/s of 10 wanted" in lines
    assert "demo 2.0 suspend 50 s 9 - no pair in 5 s" in lines


def drawn(table: RenderableType) -> list[str]:
    console = Console(width=160, highlight=False)
    with console.capture() as printed:
        console.print(table)
    return [" ".join(line.split()) for line in printed.get().splitlines()]


def test_pairs_of_an_earlier_run_are_told_apart() -> None:
    picture, _ = at_work(pairs=0)
    picture.take([status_report("completed", 100)])
    row = picture.rows()["demo"]
    assert (row["delivered"], row["delivered_by_earlier_runs"]) == (0, 100)


def test_a_request_that_waits_for_a_plan_says_why_until_it_has_one() -> None:
    picture, _ = at_work(pairs=0)
    reason = "relay: link relay-bob has 1 of 8 lanes left, the plan needs 4"
    failed = {"node": "alice", "name": "plan_failed", "request": "demo", "at_ns": 5}
    picture.take([failed | {"fields": {"version": 1, "reason": reason}}])
    row = picture.rows()["demo"]
    assert (row["status"], row["error"]) == ("planning", reason)
    picture.take([status_report("in_progress", 0)])
    row = picture.rows()["demo"]
    assert (row["status"], row["error"]) == ("in_progress", None)
    picture.take([status_report("completed", 100), failed | {"fields": {"version": 2, "reason": reason}}])
    assert picture.rows()["demo"]["status"] == "completed"


def test_the_record_of_a_run_replaces_what_was_polled(tmp_path: Path) -> None:
    picture, _ = at_work(pairs=2)
    folder = tmp_path / "agents" / "alice"
    folder.mkdir(parents=True)
    reports = [delivered(1), delivered(2), delivered(3), status_report("completed", 3)]
    lines = [json.dumps({name: one[name] for name in one if name != "node"}) + "\n" for one in reports]
    (folder / "reports-000001.jsonl").write_text("".join(lines) + '{"half a li', encoding="utf-8")
    picture.take_recorded(tmp_path)
    row = picture.rows()["demo"]
    assert (row["delivered"], row["status"], row["delivered_by_earlier_runs"]) == (3, "completed", 0)
    assert row["rate_from_submission_hz"] == pytest.approx(10.0)


def checked(tmp_path: Path, lines: list[str], frame: int = 2) -> LabPicture:
    lab = three_nodes()
    picture = LabPicture(lab, lab.requests)
    picture.take([delivered(1, frame), status_report("completed", 1)])
    (tmp_path / "truth.jsonl").write_text("".join(lines), encoding="utf-8")
    picture.take_truth(tmp_path / "truth.jsonl")
    return picture


@pytest.mark.parametrize("frame", [2, 0])
def test_a_pair_has_the_frame_that_was_reported_when_it_was_handed_over(tmp_path: Path, frame: int) -> None:
    # The Pauli of the correction shows the pair before it, which says nothing about the pair handed over.
    lines = [truth(1, 3, operation="pauli_2"), truth(1, frame), truth(1, 1), truth(2, 1)]
    picture = checked(tmp_path, lines, frame)
    row = picture.rows()["demo"]
    assert (row["frames_checked"], row["frame_errors"]) == (1, 0)
    assert row["fidelity_true_mean"] == 0.8
    assert picture.good()


@pytest.mark.parametrize(("told", "true"), [(2, 1), (2, 0), (0, 2)])
def test_a_wrong_frame_is_noticed(tmp_path: Path, told: int, true: int) -> None:
    picture = checked(tmp_path, [truth(1, true)], told)
    assert picture.frame_errors == 1
    assert not picture.good()


# --- links and swaps --------------------------------------------------------------------------------------


def test_heralds_count_once_a_link_and_their_rate_is_of_late() -> None:
    _, status = at_work()
    assert status.link_counts()["alice-relay"] == {"heralds": 50, "unusable": 2, "unknown": 4}
    assert status.herald_rate_hz("alice-relay") == pytest.approx(20.0)
    status.look(3 * SECOND_NS, answers(heralds=5), started=True)  # its node began again
    assert status.herald_rate_hz("alice-relay") is None
    assert swap_counts(status.counters()) == {"tried": 5, "succeeded": 3, "failed": 1, "unknown": 1}


def test_a_process_without_counters_counts_nothing() -> None:
    assert link_counts(three_nodes(), {})["relay-bob"] == {"heralds": 0, "unusable": 0, "unknown": 0}


def test_a_link_is_degraded_for_a_reason_that_people_understand() -> None:
    _, status = at_work()
    assert str(status.link("alice-relay")) == "ready"
    status.look(3 * SECOND_NS, answers(herald="lost"), started=True)
    assert str(status.link("alice-relay")) == "degraded: west herald lost (no answer)"
    assert str(status.link("relay-bob")) == "ready"
    silent = answers() | {"bob": None}
    status.look(4 * SECOND_NS, silent, started=True)
    assert str(status.link("relay-bob")) == "degraded: bob does not answer"
    assert str(status.node("bob")) == "degraded: bob does not answer"
    deaf = answers()
    deaf["alice"] = {**(deaf["alice"] or {}), "peers": {"relay": "down", "bob": "down", "west": "up"}}
    status.look(5 * SECOND_NS, deaf, started=True)
    assert str(status.link("alice-relay")) == "degraded: alice does not hear relay"


def test_before_the_lab_is_up_nothing_is_called_degraded() -> None:
    status = LabStatus(three_nodes())
    assert str(status.link("alice-relay")) == "starting"
    status.look(0, answers(herald="connecting"), started=False)
    assert str(status.link("alice-relay")) == "starting: west herald connecting (no answer)"


def of_a_part(name: str, node: str, request: str, **fields: object) -> dict[str, object]:
    told = {"number": 1, "head_end": "e/1", "tail_end": "e/2", "frame": 0, "fidelity": 0.9, "role": "head"}
    return {"node": node, "name": name, "request": request, "at_ns": SECOND_NS, "fields": told | fields}


def test_pairs_of_a_sequence_count_when_they_are_used_where_they_were_given_away() -> None:
    """Delivered at bob for alice's circuit; one is used at both of its nodes, one is let go."""
    lab = load_lab("lab_configs/request_kinds.yaml")
    picture = LabPicture(lab, tuple(one for one in lab.requests if one.request_id == "circuit"))
    picture.take([of_a_part("pair_delivered", "bob", f"circuit/1/g{n}") for n in (2, 3)])
    assert picture.rows()["circuit"]["delivered"] == 0
    used = {"pair_id": "g2", "part": "circuit/1/g2", "round": 1, "age_ns": 5}
    picture.take([of_a_part("pair_consumed", node, "circuit", **used) for node in ("carol", "bob", "bob")])
    picture.take([of_a_part("pair_let_go", "bob", "circuit", **used | {"part": "circuit/1/g3"})])
    row = picture.rows()["circuit"]
    assert (row["delivered"], row["asked"], row["pairs_in_order"]) == (1, 4, 4)
    assert row["fidelity_mean"] == pytest.approx(0.9)


def test_what_a_source_says_of_admission_is_shown() -> None:
    picture, _ = at_work(pairs=0)
    fields = {"admission": "queued", "reason": "no room", "offer_rate_hz": 3.0, "offer_fidelity": 0.9}
    report = {"node": "alice", "name": "request_admission", "request": "demo", "at_ns": 1, "fields": fields}
    picture.take([report])
    row = picture.rows()["demo"]
    assert (row["status"], row["admission"], row["error"]) == ("queued", "queued", "no room")
