"""Sequences: batches in order, each whole before it is used; a failed one is divided anew; no pair counts
twice, whatever gets lost."""

from typing import Any

import msgspec
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from bellwire.core.events import Received
from bellwire.core.notices import MemoryLost, SequenceDropped, SequenceWanted
from bellwire.core.sequence_messages import PairUse, PairUsed, PartsGone, PartTold
from bellwire.transport.request_records import RequestRecord, to_record
from bellwire.transport.sequence_faults import sequence_fault
from bellwire.transport.sequence_records import SEQUENCE_ROWS
from bellwire.transport.sequences import FAILURES_MAX
from tests.transport.bench import network
from tests.transport.sequencing import HOLD_NS, SECOND, Bench, request
from tests.transport.test_requests import ask


def begun(pairs: int = 3, batches: tuple[int, ...] = (2, 1), **terms: Any) -> Bench:
    """The first batch is being made."""
    bench = Bench(batches)
    bench.tell("a", SequenceWanted(request=request(pairs, **terms)))
    bench.nodes["a"].write()
    return bench


def test_a_batch_is_made_kept_and_used_before_the_next_one_is_begun() -> None:
    bench = begun()
    assert bench.told == ["begun"]
    first, second = bench.parts()
    assert [part.part_of and part.part_of.pair_id for part in (first, second)] == ["p1", "p2"]
    bench.make(first)
    bench.run(SECOND)
    assert bench.used() == []
    bench.make(second)
    bench.run(SECOND)
    assert sorted(bench.used()) == [("p1", "a"), ("p1", "b"), ("p2", "a"), ("p2", "b")]
    assert len(bench.parts()) == 2
    bench.nodes["a"].write()
    bench.make(bench.parts()[2])
    bench.run(SECOND)
    assert bench.told == ["begun", "advanced", "advanced"]
    bench.nodes["a"].write()
    assert bench.told == ["begun", "advanced", "advanced", "done"]
    assert bench.nodes["a"].part.consumed_count("q") == 3
    assert bench.taken() == 0


def test_nothing_is_asked_for_before_the_round_is_on_record() -> None:
    bench = Bench()
    bench.tell("a", SequenceWanted(request=request()))
    bench.run(SECOND)
    assert bench.parts() == []
    bench.nodes["a"].write()
    assert len(bench.parts()) == 2


def test_the_request_for_a_pair_has_the_terms_of_the_sequence() -> None:
    bench = begun(fidelity_threshold=0.8, priority=3, generation_mode="fixed_tree")
    part = bench.parts()[0]
    assert (part.request_id, part.target_nodes, part.count) == ("q/1/p1", ("a", "b"), 1)
    assert (part.fidelity_threshold, part.priority, part.generation_mode) == (0.8, 3, "fixed_tree")
    assert part.hold_ns == HOLD_NS


def test_a_failed_pair_fails_its_batch_and_the_rest_is_divided_anew_into_smaller_ones() -> None:
    bench = begun()
    first, second = bench.parts()
    bench.make(first)
    bench.end(second, "failed", "deadline over")
    bench.run(SECOND)
    (failed,) = bench.of("batch_failed")
    assert failed["reason"] == "pair p2: deadline over"
    assert {fields["reason"] for fields in bench.of("pair_let_go")} == {"its batch is not to be"}
    assert bench.divisions[-1] == ((), 1)
    bench.nodes["a"].write()
    assert [part.request_id for part in bench.parts()[2:]] == ["q/2/p1"]
    assert bench.used() == []
    assert bench.taken() == 0


def test_a_batch_that_does_not_become_whole_is_halved_and_one_pair_may_take_as_long_as_it_likes() -> None:
    bench = begun(pairs=4, batches=(4,))
    bench.run(9 * SECOND)
    assert bench.of("batch_failed") == []
    for pairs in (4, 2):
        assert len(bench.of("batch_begun")[-1]["pairs"].split()) == pairs
        bench.run(11 * SECOND)
        assert "not whole after 10 s, 0.1 s expected" in bench.of("batch_failed")[-1]["reason"]
        bench.nodes["a"].write()
    bench.run(1_000 * SECOND)
    assert bench.of("batch_begun")[-1]["pairs"] == "p1"
    assert len(bench.of("batch_failed")) == 2
    assert bench.nodes["a"].part.sequences["q"].failures == 0


def test_the_other_pairs_of_a_failed_batch_are_withdrawn() -> None:
    bench = begun()
    first, second = bench.parts()
    bench.end(first, "failed", "no route")
    bench.run(SECOND)
    assert bench.nodes["a"].others.withdrawn == [second.request_id]


def test_no_pair_is_used_when_it_is_older_than_the_limit() -> None:
    bench = begun()
    first, second = bench.parts()
    bench.make(first)
    bench.run(HOLD_NS + SECOND // 10)
    assert (
        bench.of("batch_failed")[0]["reason"] == "pair p1: its pair was 2 s old before all others were there"
    )
    bench.make(second)
    bench.run(SECOND)
    assert bench.used() == []
    assert bench.taken() == 0


def test_the_coordinator_counts_the_age_of_pairs_at_nodes_that_fall_silent() -> None:
    bench = begun(nodes=("b", "a"))
    bench.run(SECOND // 100)
    bench.make(bench.parts("b")[0])
    bench.run(SECOND // 100)
    bench.lost = lambda source, message: source == "b"
    bench.run(HOLD_NS - SECOND // 50)
    assert bench.of("batch_failed") == []
    bench.run(SECOND // 10)
    reason = "its first pair grew too old before the last was there"
    assert bench.of("batch_failed")[0]["reason"] == reason
    assert bench.used() == []


def test_a_pair_that_is_old_already_is_let_go_and_not_counted_on() -> None:
    bench = begun()
    bench.make(bench.parts()[0], age_ns=HOLD_NS)
    bench.run(SECOND)
    assert bench.of("batch_failed")[0]["reason"] == "pair p1: its pair was lost"
    assert bench.taken() == 0


def test_a_batch_of_which_one_node_has_lost_its_qubit_does_not_count() -> None:
    bench = begun()
    first, second = bench.parts()
    bench.make(first)
    bench.make(second, at=("a",))
    bench.run(SECOND)
    assert bench.of("batch_failed")[0]["reason"] == "pair p2 was gone at b"
    assert bench.nodes["a"].part.consumed_count("q") == 0
    assert bench.told == ["begun"]


def test_a_lost_memory_or_a_restarted_node_fails_the_batch() -> None:
    bench = begun()
    bench.make(bench.parts()[0])
    bench.tell("a", MemoryLost(reason="reset"))
    bench.run(SECOND)
    assert bench.of("batch_failed")[0]["reason"] == "pair p1: the memory forgot its pair"
    bench = begun()
    bench.make(bench.parts()[0])
    bench.restart("b")
    bench.run(SECOND)
    assert bench.of("batch_failed")[0]["reason"] == "b restarted"


@pytest.mark.parametrize("how", ["too old", "forgotten"])
def test_pairs_of_a_batch_that_are_lost_at_one_moment_fail_it_once_and_leave_nothing(how: str) -> None:
    """The first of them ends the batch at its coordinator, which is the same node: the others go with it."""
    bench = begun(3, batches=(3,))
    for part in bench.parts()[:2]:
        bench.make(part)
    if how == "too old":
        bench.run(HOLD_NS + SECOND // 10)
    else:
        bench.tell("a", MemoryLost(reason="reset"))
        bench.run(SECOND)
        slots = bench.nodes["a"].slots.slots()
        assert [slot.state for slot in slots].count("lost") == 2  # none of them was given back as free
    assert len(bench.of("batch_failed")) == 1
    assert bench.nodes["a"].part.parts.kept == {}
    let_go = [
        report.fields["pair_id"]
        for _, node, report in bench.reports
        if report.name == "pair_let_go" and node == "a"
    ]
    assert let_go == ["p1", "p2"]


def test_a_restarted_coordinator_clears_what_it_had_begun_and_repeats_nothing_that_was_used() -> None:
    bench = begun()
    for part in bench.parts():
        bench.make(part)
    bench.run(SECOND)
    bench.nodes["a"].write()
    assert len(bench.parts()) == 3
    bench.restart("a")
    bench.tell("a", SequenceWanted(request=request()))
    bench.run(SECOND)
    bench.nodes["a"].write()
    assert bench.divisions[-1] == (("p1", "p2"), None)
    (third,) = bench.parts()
    assert third.request_id == "q/3/p3"
    bench.make(third)
    bench.run(SECOND)
    bench.nodes["a"].write()
    assert bench.told == ["begun", "advanced", "done"]
    assert sorted(bench.used()) == sorted((f"p{n}", node) for n in (1, 2, 3) for node in "ab")
    bench.restart("a")
    bench.tell("a", SequenceWanted(request=request()))
    assert bench.told == ["done"]


def test_a_restarted_node_still_drops_the_requests_that_it_made_pairs_by() -> None:
    """Seed 251 of circuits with crashes: requests of a dropped round went on and held all memories."""
    bench = begun()
    node = bench.nodes["a"]
    for part in bench.parts():
        record = RequestRecord(
            request=part, submitted_ns=0, started_ns=0, outcome=None, delivered=0, reason=""
        )
        node.store.append(to_record(record))
    bench.restart("a")
    bench.tell("a", SequenceWanted(request=request()))
    bench.run(SECOND)
    assert sorted(node.others.withdrawn) == ["q/1/p1", "q/1/p2"]


def test_batches_that_fail_again_and_again_fail_the_sequence_with_the_reason() -> None:
    bench = begun()
    for _ in range(FAILURES_MAX + 1):
        bench.end(bench.parts()[-1], "failed", "no route")
        bench.run(SECOND)
        bench.nodes["a"].write()
    assert bench.told[-1] == "failed"
    reason = bench.nodes["a"].others.told[-1].reason
    assert reason == f"{FAILURES_MAX + 1} batches failed in a row, the last one: pair p1: no route"


def test_what_cannot_be_divided_fails_with_the_planner_s_words() -> None:
    bench = Bench()
    bench.refuses = "pair 1 of the order, a-b: no way"
    bench.tell("a", SequenceWanted(request=request()))
    assert [(each.happened, each.reason) for each in bench.nodes["a"].others.told] == [
        ("failed", "pair 1 of the order, a-b: no way")
    ]


def test_a_sequence_that_is_dropped_leaves_nothing_behind_at_any_node() -> None:
    bench = begun()
    bench.make(bench.parts()[0])
    bench.tell("a", SequenceDropped(request="q"))
    bench.run(SECOND)
    assert bench.taken() == 0
    assert bench.nodes["a"].part.sequences == {}
    assert bench.nodes["a"].others.withdrawn == ["q/1/p2"]


def test_a_use_that_is_said_twice_is_one_and_is_answered_alike() -> None:
    bench = begun(pairs=1)
    answers: list[bool] = []

    def first_answer_gets_lost(source: str, message: Any) -> bool:
        if isinstance(message, PairUsed):
            answers.append(message.used)
        return isinstance(message, PairUsed) and len(answers) == 1

    bench.lost = first_answer_gets_lost
    bench.make(bench.parts()[0])
    bench.run(SECOND)
    assert answers == [True, True]
    assert sorted(bench.used()) == [("p1", "a"), ("p1", "b")]


def rows_of(story: str) -> set[tuple[str, str]]:
    """Rows that fire when a sequence is dropped in a certain state, or nobody answers there."""
    bench = Bench()
    if story == "recording":
        bench.tell("a", SequenceWanted(request=request()))
    else:
        bench = begun(pairs=1)
        if story == "clearing":
            bench.lost = lambda source, message: isinstance(message, PartsGone)
            bench.end(bench.parts()[0], "failed", "no route")
        elif story == "using":
            bench.lost = lambda source, message: isinstance(message, PairUse)
            bench.make(bench.parts()[0])
        elif story == "finishing":
            bench.make(bench.parts()[0])
            bench.run(SECOND // 100)
    assert bench.nodes["a"].part.sequences["q"].state == story
    bench.tell("a", SequenceDropped(request="q"))
    bench.lost = lambda source, message: False
    bench.run(5 * SECOND)
    assert bench.nodes["a"].part.sequences == {}
    assert bench.taken() == 0
    return bench.nodes["a"].fired


def test_every_row_of_a_sequence_happens() -> None:
    fired = set[tuple[str, str]]()
    for story in ("recording", "making", "using", "finishing", "clearing"):
        fired |= rows_of(story)
    for batches in ((2, 1), (2,)):  # a division into all batches, and one that looks at the first pairs only
        bench = begun(batches=batches)
        for _ in range(3):
            for part in list(bench.parts()):
                if part.part_of is not None and part.part_of.round == len(bench.of("batch_begun")):
                    bench.make(part)
            bench.run(SECOND)
            bench.nodes["a"].write()
        assert bench.told[-1] == "done"
        fired |= bench.nodes["a"].fired
    bench.restart("a")
    bench.tell("a", SequenceWanted(request=request()))
    fired |= bench.nodes["a"].fired
    bench = begun()
    bench.restart("a")
    bench.tell("a", SequenceWanted(request=request()))
    bench.run(SECOND)
    fired |= bench.nodes["a"].fired
    bench.nodes["a"].write()
    bench.refuses = "the link is gone"
    bench.end(bench.parts()[0], "failed", "no route")
    bench.run(SECOND)
    assert bench.told[-1] == "failed"
    fired |= bench.nodes["a"].fired
    bench = Bench()
    bench.refuses = "no way"
    bench.tell("a", SequenceWanted(request=request()))
    fired |= bench.nodes["a"].fired
    bench = begun()
    for _ in range(FAILURES_MAX + 1):
        bench.end(bench.parts()[-1], "failed", "no route")
        bench.run(SECOND)
        bench.nodes["a"].write()
    fired |= bench.nodes["a"].fired
    bench = begun(pairs=1)
    bench.make(bench.parts()[0], at=("a",))
    bench.run(SECOND)
    fired |= bench.nodes["a"].fired
    assert set(SEQUENCE_ROWS) - fired == set()


class SequenceLife(RuleBasedStateMachine):
    """Any order of pairs, failures, losses, restarts and time: no pair counts twice, and one end."""

    @initialize(pairs=st.integers(1, 4), batches=st.sampled_from([(2, 1, 1), (1, 3), (4,), (1,)]))
    def begin(self, pairs: int, batches: tuple[int, ...]) -> None:
        self.bench = Bench(batches)
        self.request = request(pairs)
        self.ends = 0
        self.lossy = False
        self.coin = 0
        self.made = set[str]()
        self.bench.lost = self._lost
        self.bench.tell("a", SequenceWanted(request=self.request))

    def _lost(self, source: str, message: Any) -> bool:
        self.coin += 1
        return self.lossy and self.coin % 3 == 0

    def open_parts(self) -> list[Any]:
        keys = self.bench.nodes["a"].part.parts.parts
        return [part.request for part in keys.values() if part.state == "under_way"]

    @rule()
    def write(self) -> None:
        self.bench.nodes["a"].write()

    @precondition(lambda self: self.open_parts())
    @rule(which=st.integers(0, 3), at=st.sampled_from([("a", "b"), ("a", "b"), ("a",)]))
    def pair_is_made(self, which: int, at: tuple[str, ...]) -> None:
        parts = self.open_parts()
        part = parts[which % len(parts)]
        if part.request_id not in self.made and all(self.bench.nodes[name].free for name in at):
            self.made.add(part.request_id)
            self.bench.make(part, at)

    @precondition(lambda self: self.open_parts())
    @rule()
    def pair_fails(self) -> None:
        self.bench.end(self.open_parts()[0], "failed", "no route")

    @rule(ms=st.integers(1, 3_000))
    def time_passes(self, ms: int) -> None:
        self.bench.run(ms * 1_000_000)

    @rule(lossy=st.booleans())
    def weather(self, lossy: bool) -> None:
        self.lossy = lossy

    @rule(name=st.sampled_from(["a", "b"]))
    def restart(self, name: str) -> None:
        self.bench.restart(name)
        if name == "a":
            self.bench.tell("a", SequenceWanted(request=self.request))

    @invariant()
    def what_counts_was_used_at_both_nodes_in_order_and_once(self) -> None:
        names = [pair.pair_id for pair in self.request.entanglement_sequence]
        part = self.bench.nodes["a"].part
        done = part.sequences["q"].done if "q" in part.sequences else []
        assert list(done) == names[: len(done)]
        uses = self.bench.used()
        for name in done:
            assert {node for pair, node in uses if pair == name} == {"a", "b"}

    @invariant()
    def an_end_is_told_once_a_life_and_with_all_pairs(self) -> None:
        told = self.bench.told
        assert told.count("done") + told.count("failed") <= 1
        if told and told[-1] == "done":
            assert self.bench.nodes["a"].part.consumed_count("q") == len(self.request.entanglement_sequence)

    @invariant()
    def no_qubit_is_kept_beyond_its_limit(self) -> None:
        for node in self.bench.nodes.values():
            for kept in node.part.parts.kept.values():
                assert kept.due_ns >= self.bench.now_ns

    @invariant()
    def no_part_of_a_round_is_used_twice_at_a_node(self) -> None:
        uses = [
            (node, report.fields["part"])
            for _, node, report in self.bench.reports
            if report.name == "pair_consumed"
        ]
        assert len(set(uses)) == len(uses)


SequenceLife.TestCase.settings = settings(max_examples=40, stateful_step_count=30, deadline=None)
TestSequenceLife = SequenceLife.TestCase


PAIR = request(2).entanglement_sequence


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (
            {"entanglement_sequence": (), "sequence_after": (("p1", "p2"),)},
            "goes with an entanglement_sequence",
        ),
        ({"entanglement_sequence": (), "hold_ns": 5}, "hold_ns goes with"),
        ({"count": 3}, "count is not for an entanglement_sequence"),
        ({"until_cancelled": True}, "until_cancelled is not for"),
        ({"rate_threshold_hz": 5.0}, "rate_threshold_hz is not for"),
        ({"consumption": "measure"}, "consumption is not for"),
        ({"hold_ns": 0}, "hold_ns = 0"),
        ({"entanglement_sequence": (PAIR[0], PAIR[0])}, 'two pairs of the sequence are called "p1"'),
        ({"target_nodes": ("alice", "carol")}, "name the coordinator, then all other nodes"),
        ({"sequence_after": (("p1", "p2"),)}, "goes with a partial order"),
        ({"sequence_order": "partial", "sequence_after": (("p1", "p9"),)}, 'names "p9"'),
        (
            {"sequence_order": "partial", "sequence_after": (("p1", "p2"), ("p2", "p1"))},
            "is circular",
        ),
    ],
)
def test_a_sequence_that_cannot_be_is_refused_with_words(changes: dict[str, Any], words: str) -> None:
    pairs = tuple(replaced_pair(pair) for pair in PAIR)
    given: dict[str, Any] = {"count": None, "entanglement_sequence": pairs}
    if changes.get("entanglement_sequence"):
        changes = changes | {
            "entanglement_sequence": tuple(replaced_pair(each) for each in changes["entanglement_sequence"])
        }
    fault = sequence_fault(ask(**(given | changes)), network())
    assert fault is not None
    assert words in fault


def replaced_pair(pair: Any) -> Any:
    """The same pair between alice and bob."""
    return msgspec.structs.replace(pair, nodes=("alice", "bob"))


def test_messages_of_other_rounds_change_nothing() -> None:
    bench = begun()
    late = PartTold(sequence="q", round=7, pair_id="p1", state="failed", reason="late")
    bench.nodes["a"].feed(Received(source="a", incarnation=1, message=late))
    assert bench.of("batch_failed") == []
