"""The life of a pair and the time of a request, read back from a recorded run in virtual time.

The lab is the shipped repeater with every memory lane, seed 1: what is asserted follows from its file (fibres
of 10 km, 50 us of light each) and from the reports of the same run, not from numbers seen once.
"""

import json
from pathlib import Path

import pytest

from bellwire.core.effects import Effect
from bellwire.core.errors import ConfigError
from bellwire.core.events import Event
from bellwire.core.facts import Swapped
from bellwire.core.ids import NodeId
from bellwire.labs import load_lab
from bellwire.runtime.history import History, history_of
from bellwire.runtime.pair_life import deliveries, pair_life
from bellwire.runtime.recorded import RecordedStep, read_trace_file
from bellwire.runtime.time_shares import time_shares
from bellwire.simulator_backend.simulation import simulate

LABS = Path(__file__).parents[2] / "lab_configs"
LIGHT_NS = 50_000
"""Of 10 km of fibre, station to node."""


def recorded(lab: Path, duration_s: float) -> list[RecordedStep]:
    steps: list[RecordedStep] = []

    def watch(now_ns: int, node: NodeId, event: Event, effects: list[Effect]) -> None:
        steps.append(RecordedStep(now_ns, node, event, tuple(effects)))

    simulate(load_lab(lab), duration_s, 1, watch=watch)
    return steps


@pytest.fixture(scope="module")
def repeater() -> History:
    return history_of(recorded(LABS / "three_node_repeater.yaml", 0.5))


def test_a_pair_is_followed_from_both_heralds_through_the_swap_to_the_word_that_it_is_settled(
    repeater: History,
) -> None:
    life = pair_life(repeater, "demo", 3)
    assert life.nodes == ("alice", "west", "relay", "east", "bob")
    assert set(life.links) == {"alice-relay", "relay-bob"}
    kinds = [one.kind for one in life.moments]
    assert (kinds.count("birth"), kinds.count("swap"), kinds.count("delivered")) == (4, 1, 2)
    order = [
        kinds.index(kind) for kind in ("window", "herald", "birth", "swap", "offer", "delivered", "settled")
    ]
    assert order == sorted(order)
    stations = [one for one in life.moments if one.kind == "herald" and one.node in ("west", "east")]
    assert len(stations) == 2
    assert life.heralded_ns == min(one.at_ns for one in stations)


def test_light_takes_the_time_of_its_fibre_to_both_ends_of_a_link(repeater: History) -> None:
    passages = pair_life(repeater, "demo", 3).passages
    heralds = [one for one in passages if one.kind == "HeraldReport"]
    assert {(one.sender, one.receiver) for one in heralds} == {
        ("west", "alice"), ("west", "relay"), ("east", "relay"), ("east", "bob")
    }  # fmt: skip
    assert {one.received_ns - one.sent_ns for one in heralds} == {LIGHT_NS}
    outcome = {one.receiver: one.received_ns - one.sent_ns for one in passages if one.kind == "Swapped"}
    assert outcome == {"alice": 2 * LIGHT_NS, "bob": 2 * LIGHT_NS}


def test_the_last_fidelity_and_age_are_those_of_the_delivery_report(repeater: History) -> None:
    """For all pairs, and the estimate falls on the way: each gate and all waiting cost."""
    checked = 0
    for report in deliveries(repeater, "demo"):
        life = pair_life(repeater, "demo", int(str(report.report.fields["number"])))
        used = next(one for one in life.moments if one.kind == "delivered")
        before = [one for one in life.moments if one.fidelity is not None and one.hops == 2]
        assert used.fidelity == report.report.fields["fidelity"]
        assert used.age_ns == life.delivered_ns - life.heralded_ns
        assert before, "the chain of two link pairs is in the ledger after the swap"
        assert used.fidelity is not None
        assert before[0].fidelity is not None
        assert used.fidelity <= before[0].fidelity + 1e-12  # waiting only costs
        links = [one.fidelity for one in life.moments if one.kind == "birth" and one.fidelity is not None]
        assert max(links) > before[0].fidelity, "a swap costs fidelity"
        checked += 1
    assert checked >= 10


def test_a_qubit_is_held_from_its_herald_until_it_is_measured_or_handed_over(repeater: History) -> None:
    life = pair_life(repeater, "demo", 3)
    (swap,) = [one for one in life.moments if one.kind == "swap"]
    inner = [one for one in life.holdings if one.node == "relay"]
    assert [one.until_ns for one in inner] == [swap.at_ns, swap.at_ns]
    assert {one.node for one in life.holdings} == {"alice", "relay", "bob"}
    assert all(one.until_ns is not None and one.from_ns < one.until_ns for one in life.holdings)


def test_the_shares_of_a_request_sum_to_its_whole_time(repeater: History) -> None:
    shares = time_shares(repeater, "demo")
    assert sum(shares.waited_ns.values()) == shares.ended_ns - shares.submitted_ns
    assert sum(shares.shares().values()) == pytest.approx(1.0)
    assert shares.waited_ns["heralds"] > shares.waited_ns["delivery"] > 0
    assert shares.routes == (("alice", "relay", "bob"),)


def test_time_between_the_last_swap_and_the_release_is_time_of_delivery(repeater: History) -> None:
    """Pairs that do not overlap with others: the share of delivery is at least what each alone took."""
    alone_ns = 0
    last_ns = 0
    for report in deliveries(repeater, "demo"):
        life = pair_life(repeater, "demo", int(str(report.report.fields["number"])))
        (swap,) = [one for one in life.moments if one.kind == "swap"]
        alone_ns += max(0, life.delivered_ns - max(last_ns, swap.at_ns))
        last_ns = max(last_ns, life.delivered_ns)
    assert time_shares(repeater, "demo").waited_ns["delivery"] == pytest.approx(alone_ns, rel=0.05)


def test_a_request_whose_far_link_never_heralds_has_waited_for_heralds_and_names_the_link(
    tmp_path: Path,
) -> None:
    text = (LABS / "three_node_repeater.yaml").read_text(encoding="utf-8")
    assert "deadline_s: 120" in text
    dark = "scenario:\n  link_changes:\n    - {link: relay-bob, at_s: 0, success_factor: 0.0}\n"
    lab = tmp_path / "dark.yaml"
    lab.write_text(text.replace("deadline_s: 120", "deadline_s: 2") + dark, encoding="utf-8")
    history = history_of(recorded(lab, 3.0))
    shares = time_shares(history, "demo")
    assert (shares.status, shares.ended, shares.delivered) == ("failed", True, 0)
    assert shares.shares()["heralds"] > 0.95
    assert shares.missing_links == ("relay-bob",)
    assert shares.last is not None
    with pytest.raises(ConfigError, match="no pair of demo was delivered"):
        pair_life(history, "demo", 1)


def test_a_missing_pair_a_wrong_prefix_and_an_unclear_one_are_said_plainly(repeater: History) -> None:
    with pytest.raises(ConfigError, match=r"demo has no pair 999: 1 to \d+ were delivered"):
        pair_life(repeater, "demo", 999)
    assert repeater.request_named("de") == "demo"
    with pytest.raises(ConfigError, match='begins with "damo"; did you mean "demo"'):
        repeater.request_named("damo")
    with pytest.raises(ConfigError, match='begins with "x"; there are demo'):
        repeater.request_named("x")
    two = History()
    two.submitted = {"job-1": (0, "alice"), "job-2": (0, "alice")}
    with pytest.raises(ConfigError, match='"job" begins 2 requests: job-1, job-2'):
        two.request_named("job")


def test_a_trace_file_that_is_none_is_refused_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "trace.jsonl"
    path.write_text(json.dumps({"now_ns": 1, "node": "alice"}) + "\n", encoding="utf-8")
    with pytest.raises(ConfigError, match="line 1 is no step"):
        read_trace_file(path)


def test_ghz_members_are_followed_through_their_fusions() -> None:
    history = history_of(recorded(LABS / "ghz_star.yaml", 1.0))
    request = next(name for name in history.submitted if deliveries(history, name))
    number = int(str(deliveries(history, request)[0].report.fields["number"]))
    life = pair_life(history, request, number)
    assert {one.kind for one in life.moments} >= {"birth", "delivered"}
    assert any(one.kind in ("fusion", "swap") for one in life.moments)
    assert len({one.node for one in life.moments if one.kind == "delivered"}) >= 3
    shares = time_shares(history, request)
    assert sum(shares.waited_ns.values()) == shares.ended_ns - shares.submitted_ns
    assert shares.waited_ns["heralds"] > shares.waited_ns["swaps"] > 0
    assert shares.waited_ns["delivery"] > 0


def test_a_sequence_names_the_requests_of_its_pairs() -> None:
    history = history_of(recorded(LABS / "request_kinds.yaml", 0.1))
    assert time_shares(history, "circuit").parts == tuple(f"circuit/1/g{number}" for number in range(1, 5))
    assert time_shares(history, "circuit/1/g1").parts == ()
    assert time_shares(history, "circuit/1/g1").delivered == 1


def test_every_swap_of_the_run_that_made_a_delivered_pair_is_in_some_life(repeater: History) -> None:
    swaps = {
        seen.fact.left
        for facts in repeater.facts.values()
        for seen in facts
        if isinstance(seen.fact, Swapped) and seen.fact.result == "ok"
    }
    told = {
        one.ends[0]
        for report in deliveries(repeater, "demo")
        for one in pair_life(repeater, "demo", int(str(report.report.fields["number"]))).moments
        if one.kind == "swap"
    }
    assert told <= {str(end) for end in swaps}
    assert len(told) == len(deliveries(repeater, "demo"))


def test_a_pair_purified_end_to_end_has_both_pairs_and_the_round_in_its_life(tmp_path: Path) -> None:
    text = (LABS / "three_node_repeater.yaml").read_text(encoding="utf-8")
    assert "consumption: keep" in text
    lab = tmp_path / "purified.yaml"
    changed = text.replace("consumption: keep", 'consumption: keep, mode: fixed_tree, purification: "2:1"')
    lab.write_text(changed, encoding="utf-8")
    history = history_of(recorded(lab, 1.0))
    numbers = [int(str(one.report.fields["number"])) for one in deliveries(history, "demo")]
    assert len(numbers) >= 5
    for number in numbers:
        life = pair_life(history, "demo", number)
        purified = [one for one in life.moments if one.kind == "purification"]
        assert {one.text.split()[0] for one in purified} == {"measures", "round"}
        assert len(life.holdings) == 8, "two link pairs on each of two links"
        measured = {one.ends[0]: one.at_ns for one in purified if one.text.startswith("measures")}
        assert len(measured) == 2
        for one in life.holdings:
            if one.end in measured:
                assert one.until_ns == measured[one.end]
            elif one.node in ("alice", "bob"):
                assert one.until_ns is not None
                assert one.until_ns > max(measured.values()), "the kept qubit outlives the round"


def test_link_pairs_that_were_purified_before_their_birth_tell_how_much_older_they_are(
    tmp_path: Path,
) -> None:
    text = (LABS / "three_node_repeater.yaml").read_text(encoding="utf-8")
    lab = tmp_path / "purified.yaml"
    changed = text.replace("consumption: keep", "consumption: keep, link_purification: 1")
    lab.write_text(changed, encoding="utf-8")
    history = history_of(recorded(lab, 1.0))
    number = int(str(deliveries(history, "demo")[0].report.fields["number"]))
    births = [one for one in pair_life(history, "demo", number).moments if one.kind == "birth"]
    assert len(births) == 4
    assert all("purified, its oldest pair is " in one.text for one in births)
