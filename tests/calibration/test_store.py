"""The store of calibrations: what is in force, what it keeps, what it refuses."""

from __future__ import annotations

import math
import sqlite3
import tempfile
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from bellwire.calibration.records import (
    NS_PER_S,
    CalibrationRecord,
    Check,
    InstrumentSeen,
    Outcome,
    Quantity,
)
from bellwire.calibration.store import CalibrationStore, store_in
from bellwire.core.errors import LocalMisuse
from tests.calibration.made_records import DAY_S, NOW_NS, made, visible

ROOT = Path(__file__).parents[2]


@pytest.fixture
def store(tmp_path: Path) -> CalibrationStore:
    return store_in(tmp_path)


# --- what is kept -----------------------------------------------------------------------------------------


def test_a_store_that_was_never_written_knows_nothing_and_makes_no_file(tmp_path: Path) -> None:
    store = store_in(tmp_path / "state")
    assert store.links() == store.procedures("alice-bob") == ()
    assert store.decisive("alice-bob") == ()
    assert store.latest("alice-bob", "rate") is store.in_force("alice-bob", "rate", NOW_NS) is None
    assert list(tmp_path.iterdir()) == []


def test_a_record_comes_back_as_it_was_put(store: CalibrationStore) -> None:
    record = made(
        "one",
        quantities={
            "visibility": Quantity(0.9, 0.01, low=0.87, high=0.91),
            "width": Quantity(21.0, 1.0, "ps"),
        },
        checks=(Check("visibility", 0.9, 0.7, 1.0),),
        instruments=(InstrumentSeen("middle-delay", "ozoptics_odl650", "123", "v2"),),
        applied={"middle-delay delay_ps": 12.5, "middle-shutter egress": 3, "middle-pump emission": True},
        before={"middle-delay delay_ps": 0.0},
        software="bellwire 1",
        operator="eve",
        valid_for_s=math.inf,
        overrides=("without window, by the operator",),
    )
    store.put(record)
    assert store.latest("alice-bob", "hom_visibility") == record
    kept = store.latest("alice-bob", "hom_visibility")
    assert kept is not None
    assert [type(value) for value in kept.applied.values()] == [float, int, bool]


def test_numbers_of_numpy_and_numbers_that_are_none_are_kept(store: CalibrationStore) -> None:
    record = made(
        "one",
        Outcome.FAILED,
        quantities={"visibility": Quantity(np.float64(0.5), np.float64("nan"))},
        checks=(Check("visibility", math.nan, 0.7),),
        applied={"tagger level": np.int64(7)},
    )
    store.put(record)
    kept = store.latest("alice-bob", "hom_visibility")
    assert kept is not None
    assert kept.quantities["visibility"].value == 0.5
    assert math.isnan(kept.quantities["visibility"].sigma)
    assert not kept.checks[0].passed
    assert kept.applied == {"tagger level": 7}


def test_history_is_told_from_the_newest_on(store: CalibrationStore) -> None:
    for number in range(5):
        store.put(visible(str(number), 0.9))
    store.put(visible("other", 0.9, link="bob-carol"))
    assert [one.record_id for one in store.history("alice-bob", "hom_visibility", 2)] == ["4", "3"]
    assert len(store.history("alice-bob", "hom_visibility")) == 5
    assert store.links() == ("alice-bob", "bob-carol")


def test_files_are_whole_before_the_record_that_names_them(store: CalibrationStore) -> None:
    data = store.keep_file("one", ".npz", b"raw")
    plot = store.keep_file("one", ".png", b"picture")
    store.put(made("one", data=data, plot=plot))
    assert (store.file(data).read_bytes(), store.file(plot).read_bytes()) == (b"raw", b"picture")
    with pytest.raises(LocalMisuse, match="no file"):
        store.put(made("two", data="data/two.npz"))
    assert store.history("alice-bob", "hom_visibility", 9)[0].record_id == "one"


def test_what_is_stored_is_never_changed(store: CalibrationStore) -> None:
    store.put(made("one"))
    store.put(made("one"))  # a writer that was killed does not know whether it was stored
    assert len(store.history("alice-bob", "hom_visibility")) == 1
    with pytest.raises(LocalMisuse, match="never changed"):
        store.put(made("one", Outcome.FAILED))
    store.keep_file("one", ".npz", b"raw")
    store.keep_file("one", ".npz", b"raw")
    with pytest.raises(LocalMisuse, match="never changed"):
        store.keep_file("one", ".npz", b"better")
    with closing(sqlite3.connect(store.path)) as database:
        for order in ("UPDATE records SET outcome = 'passed'", "DELETE FROM records"):
            with pytest.raises(sqlite3.IntegrityError, match="never"):
                database.execute(order)


@pytest.mark.parametrize("name", ["../one", "a/../../../etc", "/etc/one"])
def test_no_file_is_written_outside_the_store(store: CalibrationStore, name: str) -> None:
    with pytest.raises(LocalMisuse, match=r"must lie below data/"):
        store.keep_file(name if name.startswith("..") else f"x/../../{name}", "", b"raw")
    with pytest.raises(LocalMisuse, match=r"must lie below data/"):
        store.put(made("one", data=name))


@pytest.mark.parametrize("field", ["record_id", "link", "procedure"])
def test_a_record_without_a_name_is_refused(store: CalibrationStore, field: str) -> None:
    fields = {"record_id": "one", "link": "alice-bob", "procedure": "rate"} | {field: ""}
    with pytest.raises(LocalMisuse, match="needs an id, a link and a procedure"):
        store.put(made(fields["record_id"], link=fields["link"], procedure=fields["procedure"]))


# --- what is in force ---------------------------------------------------------------------------------------

PASSED, FAILED, ABORTED = Outcome.PASSED, Outcome.FAILED, Outcome.ABORTED


@pytest.mark.parametrize(
    ("outcomes", "believed"),
    [
        ([], None),
        ([PASSED], 0),
        ([FAILED], None),
        ([ABORTED], None),
        ([PASSED, PASSED], 1),
        ([PASSED, FAILED], None),
        ([PASSED, ABORTED, ABORTED], 0),
        ([PASSED, FAILED, ABORTED], None),
        ([PASSED, ABORTED, FAILED], None),
        ([PASSED, FAILED, PASSED], 2),
        ([FAILED, PASSED, ABORTED], 1),
    ],
)
def test_a_failed_run_ends_what_was_in_force_and_an_aborted_one_does_not(
    store: CalibrationStore, outcomes: list[Outcome], believed: int | None
) -> None:
    for number, outcome in enumerate(outcomes):
        store.put(made(str(number), outcome))
    found = store.in_force("alice-bob", "hom_visibility", NOW_NS)
    assert (None if found is None else int(found.record_id)) == believed


def test_validity_ends_and_an_older_longer_one_does_not_come_back(store: CalibrationStore) -> None:
    store.put(made("old", valid_for_s=100.0 * DAY_S))
    store.put(made("new", valid_for_s=float(DAY_S)))
    end_ns = NOW_NS + DAY_S * NS_PER_S
    found = store.in_force("alice-bob", "hom_visibility", end_ns)
    assert found is not None
    assert found.record_id == "new"
    assert store.in_force("alice-bob", "hom_visibility", end_ns + NS_PER_S) is None


def test_a_failure_counts_although_the_clock_was_set_back_before_it(store: CalibrationStore) -> None:
    store.put(made("ahead", ago_s=-3600))
    store.put(made("failed", FAILED, ago_s=10))
    assert store.in_force("alice-bob", "hom_visibility", NOW_NS) is None


LINKS, PROCEDURES = ("a-b", "b-c"), ("rate", "oven")


class StoreAsModelled(RuleBasedStateMachine):
    """The store against lists in memory: any order of runs, of several links, with time passing."""

    @initialize()
    def begin(self) -> None:
        self.folder = tempfile.TemporaryDirectory()
        self.store = CalibrationStore(Path(self.folder.name) / "calibrations")
        self.model: dict[tuple[str, str], list[CalibrationRecord]] = {}
        self.now_ns = NOW_NS
        self.puts = 0

    def teardown(self) -> None:
        if hasattr(self, "folder"):
            self.folder.cleanup()

    @rule(
        link=st.sampled_from(LINKS),
        procedure=st.sampled_from(PROCEDURES),
        outcome=st.sampled_from(Outcome),
        valid_for_s=st.sampled_from([1.0, 60.0, 1e5, math.inf]),
    )
    def run_ends(self, link: str, procedure: str, outcome: Outcome, valid_for_s: float) -> None:
        self.puts += 1
        record = CalibrationRecord(
            record_id=f"r{self.puts}",
            link=link,
            procedure=procedure,
            outcome=outcome,
            reason="",
            started_ns=self.now_ns,
            ended_ns=self.now_ns,
            valid_for_s=valid_for_s,
        )
        self.store.put(record)
        self.model.setdefault((link, procedure), []).append(record)

    @rule(seconds=st.sampled_from([1, 30, 61, 10**5]))
    def time_passes(self, seconds: int) -> None:
        self.now_ns += seconds * NS_PER_S

    @rule()
    def another_process_opens_it(self) -> None:
        self.store = CalibrationStore(self.store.folder)
        self.store.prepare()

    @rule()
    def the_last_is_put_again(self) -> None:
        for records in self.model.values():
            self.store.put(records[-1])

    @invariant()
    def it_knows_what_the_model_knows(self) -> None:
        if not hasattr(self, "store"):
            return
        assert self.store.links() == tuple(sorted({link for link, _ in self.model}))
        for link in LINKS:
            assert set(self.store.procedures(link)) == {name for at, name in self.model if at == link}
            for procedure in PROCEDURES:
                records = self.model.get((link, procedure), [])
                assert list(self.store.history(link, procedure)) == records[::-1]
                assert self.store.latest(link, procedure) == (records[-1] if records else None)
                assert self.store.in_force(link, procedure, self.now_ns) == self.believed(records)

    def believed(self, records: list[CalibrationRecord]) -> CalibrationRecord | None:
        """In other words than the store's: walk through all that happened."""
        held: CalibrationRecord | None = None
        for record in records:
            if record.outcome is Outcome.PASSED:
                held = record
            elif record.outcome is Outcome.FAILED:
                held = None
        if held is None or self.now_ns > held.ended_ns + held.valid_for_s * NS_PER_S:
            return None
        return held


TestStoreAsModelled = StoreAsModelled.TestCase
TestStoreAsModelled.settings = settings(max_examples=12, stateful_step_count=15, deadline=None)
