"""What a lab tells about one repetition, folded into its pairs."""

from pathlib import Path
from typing import Any

import msgspec
import pytest

from bellwire.core.ids import End
from bellwire.core.link_words import LinkDone, LinkErr, LinkErrorCode, LinkOkMeasure
from bellwire.labs import load_lab
from bellwire.study.lab_experiments_folding import CreateFolding, RequestFolding, create_of, end_named

LABS = Path(__file__).parents[2] / "lab_configs"
SECOND = 1_000_000_000

ONE, OTHER = End("ab", 7, 3, 0, 0), End("bc", 9, 1, 2, 1)
REQUEST = load_lab(LABS / "three_node_repeater.yaml").requests[0]


def delivered(number: int, frame: int = 0) -> dict[str, Any]:
    return {"number": number, "head_end": str(ONE), "tail_end": str(OTHER), "frame": frame, "fidelity": 0.9}


@pytest.mark.parametrize("truth_first", [True, False])
@pytest.mark.parametrize("frame", [0, 2])
def test_truth_meets_its_pair_whichever_comes_first(truth_first: bool, frame: int) -> None:
    folding = RequestFolding(REQUEST, 0)
    if truth_first:
        folding.truths.show(OTHER, ONE, frame, 0.8)
    folding.take(5, "pair_delivered", "demo", delivered(1))
    folding.truths.show(ONE, OTHER, frame, 0.8)
    folding.truths.show(OTHER, ONE, 3, 0.1)  # the second end to go shows nothing that counts
    assert folding.pairs.true_fidelities == {"1": 0.8}
    assert folding.pairs.frame_errors == (frame != 0)
    assert folding.truths.missing == 0


def test_pairs_that_are_taken_back_or_told_twice_or_told_after_the_end_do_not_count() -> None:
    folding = RequestFolding(msgspec.structs.replace(REQUEST, count=2), 0)
    for number in (1, 2, 2):
        folding.take(number, "pair_delivered", "demo", delivered(number))
    folding.take(3, "pair_delivered", "another", delivered(7))
    folding.take(4, "pair_void", "demo", {"number": 1})
    assert not folding.ended
    folding.take(9, "pair_delivered", "demo", delivered(3))
    folding.take(9, "request_status", "demo", {"status": "completed", "error_message": None})
    folding.take(11, "pair_delivered", "demo", delivered(4))
    assert sorted(folding.pairs.times_ns) == ["2", "3"]
    assert (folding.pairs.voided, folding.pairs.ended_ns, folding.pairs.ends_by_clock) == (1, 9, False)


def test_a_request_without_a_plan_has_failed_when_its_time_is_over() -> None:
    timed = msgspec.structs.replace(REQUEST, count=None, duration_ns=SECOND)
    waiting, served = RequestFolding(timed, 0), RequestFolding(timed, 0)
    waiting.take(1, "plan_failed", "demo", {"reason": "bob is lost"})
    served.take(1, "plan_active", "demo", {"rate_hz": 5.0, "fidelity": 0.9})
    for folding in (waiting, served):
        folding.give_up(SECOND, "nobody looks")
    assert (waiting.pairs.status, waiting.pairs.error) == ("failed", "bob is lost")
    assert (served.pairs.status, served.pairs.error) == ("completed", None)
    assert served.pairs.ends_by_clock


def ok(sequence: int, origin: str = "alice") -> LinkOkMeasure:
    return LinkOkMeasure(
        link="alice-relay",
        origin=origin,
        create=1,
        asked_here=True,
        end=End("alice-relay", 1, sequence, 0, 0),
        sequence=sequence,
        basis="Z",
        bit=0,
        frame=0,
        purpose=0,
        remote="relay",
        goodness=0.97,
        goodness_at_ns=0,
        born_ns=0,
    )


def err(code: LinkErrorCode, *ends: End) -> LinkErr:
    return LinkErr(
        link="alice-relay", origin="alice", create=1, code=code, where="local", reason="why", ends=ends
    )


@pytest.mark.parametrize(("by_clock", "status"), [(True, "completed"), (False, "failed")])
def test_the_deadline_of_a_create_is_its_end_where_it_was_asked_for_a_time(
    by_clock: bool, status: str
) -> None:
    link = load_lab(LABS / "three_node_repeater.yaml").network.links["alice-relay"]
    folding = CreateFolding(create_of(REQUEST, link, 1, "relay", None, SECOND), "alice", 0, by_clock=by_clock)
    for number in (1, 2, 3):
        folding.take(number, ok(number))
    folding.take(4, ok(4, origin="relay"))  # the other end has a CREATE of the same number
    folding.take(5, err("EXPIRE", End("alice-relay", 1, 2, 0, 0)))
    assert not folding.ended
    folding.take(9, err("TIMEOUT"))
    folding.take(10, ok(5))
    pairs = folding.pairs
    assert (len(pairs.times_ns), pairs.voided, pairs.status, pairs.ended_ns) == (2, 1, status, 9)
    done = CreateFolding(folding.asked, "alice", 0)
    done.take(3, LinkDone(link="alice-relay", origin="alice", create=1, pairs=0))
    assert done.pairs.status == "completed"


def test_a_create_for_a_time_asks_for_more_than_the_link_can_make_and_for_no_more_than_it_may() -> None:
    link = load_lab(LABS / "three_node_repeater.yaml").network.links["alice-relay"]  # 8 lanes, 1 ms
    timed = msgspec.structs.replace(REQUEST, count=None)
    assert create_of(timed, link, 1, "relay", 0.8, 2 * SECOND).count == 16_000
    assert create_of(timed, link, 1, "relay", 0.8, 60 * SECOND).count == 65_535
    assert create_of(REQUEST, link, 1, "relay", 0.8, 60 * SECOND).count == REQUEST.count


def test_ends_are_read_as_reports_write_them() -> None:
    for end in (ONE, OTHER, End("west/east", 2**40, 5, 1, 1)):
        assert end_named(str(end)) == end
