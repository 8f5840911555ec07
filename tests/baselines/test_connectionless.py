"""Datagrams at one node, rule by rule (algorithms.md 6.1)."""

from bellwire.baselines.connectionless import (
    DatagramDestination,
    DatagramNode,
    DatagramOptions,
    DatagramSource,
    datagram_options,
)
from bellwire.core.baseline_messages import Datagram, DatagramHeard
from bellwire.core.ids import End
from bellwire.core.modes import Named, parse_mode
from tests.baselines.hands import Bench, half, place_of

MS = 1_000_000
GIVE_UP_NS = 5_000 * MS


def source(bench: Bench, **options: object) -> DatagramSource:
    return DatagramSource(
        place_of("source"),
        DatagramOptions(**options),  # type: ignore[arg-type]  # options of many types by name
        bench.hands,
        bench.counters,
        GIVE_UP_NS,
    )


def heard(sequence: int, *, started_ns: int = 0, marked: bool = False) -> DatagramHeard:
    return DatagramHeard(request="r", tree=0, sequence=sequence, started_ns=started_ns, marked=marked)


def datagram(sequence: int, end: End, *, frame: int = 0) -> Datagram:
    return Datagram(
        request="r",
        tree=0,
        sequence=sequence,
        head_end=half("l0", 99).end,
        end=end,
        frame=frame,
        started_ns=7,
    )


def options(text: str) -> DatagramOptions:
    mode = parse_mode(text)
    assert isinstance(mode, Named)
    return datagram_options(mode)


def test_the_strong_form_is_the_default_and_taking_losses_for_congestion_needs_a_window() -> None:
    assert options("connectionless") == DatagramOptions()
    weak = options("connectionless(loss_is_congestion=yes)")
    assert (weak.congestion, weak.loss_is_congestion) == ("window", True)
    assert options("connectionless(window=3, pairs=on_demand)") == DatagramOptions(window=3, ahead=False)


def test_without_control_every_pair_of_the_source_becomes_a_datagram_at_once() -> None:
    bench = Bench()
    flow = source(bench)
    for attempt in range(3):
        flow.pair(bench.at(attempt), half("l0", attempt, frame=2))
    sent = bench.sent(Datagram)
    assert [(to, one.sequence, one.end, one.frame) for to, one in sent] == [
        ("n1", number + 1, half("l0", number).end.partner, 2) for number in range(3)
    ]


def test_a_window_of_one_sends_the_next_datagram_with_the_youngest_pair_when_it_hears_of_the_last() -> None:
    bench = Bench()
    flow = source(bench, congestion="window", window=1)
    for attempt in range(3):
        flow.pair(bench.at(attempt), half("l0", attempt))
    assert len(bench.sent(Datagram)) == 1
    bench.hear(flow, 10, heard(1))
    assert bench.sent(Datagram)[-1][1].head_end == half("l0", 2).end


def test_on_demand_a_pair_that_no_datagram_may_take_is_given_up_at_once() -> None:
    bench = Bench()
    flow = source(bench, window=1, ahead=False)
    flow.pair(bench.at(0), half("l0", 0))
    flow.pair(bench.at(1), half("l0", 1))
    assert bench.hands.given_up == [half("l0", 1).end]
    assert flow.under_way == 1


def test_a_gap_of_acknowledgements_is_congestion_only_where_losses_are_taken_for_it() -> None:
    sizes = {}
    for strict in (False, True):
        bench = Bench()
        flow = source(bench, congestion="window", loss_is_congestion=strict)
        flow.pair(bench.at(0), half("l0", 0))
        bench.hear(flow, 1, heard(1))
        for attempt in (1, 2):
            flow.pair(bench.at(2), half("l0", attempt))
        bench.hear(flow, 3, heard(3, started_ns=2))
        sizes[strict] = flow.control.size  # type: ignore[attr-defined]  # a Window, as asked for
        assert bench.counters["lost"] == 1
        assert flow.under_way == 0
    assert sizes == {False: 3.0, True: 1.0}


def test_a_mark_is_congestion_although_nothing_was_lost() -> None:
    bench = Bench()
    flow = source(bench, congestion="window")
    flow.pair(bench.at(0), half("l0", 0))
    bench.hear(flow, 1, heard(1, marked=True))
    assert flow.control.threshold == 1.0  # type: ignore[attr-defined]  # a Window, as asked for


def test_silence_counts_as_loss_after_the_timeout_and_gives_up_the_half_much_later() -> None:
    bench = Bench()
    flow = source(bench, congestion="window", window=1)
    flow.pair(bench.at(0), half("l0", 0))
    flow.pair(bench.at(1), half("l0", 1))
    assert flow.deadline_ns() == 9 * MS
    flow.on_deadline(bench.at(9 * MS))
    assert [one.sequence for _, one in bench.sent(Datagram)] == [1, 2]
    assert bench.hands.given_up == []
    flow.on_deadline(bench.at(GIVE_UP_NS))
    assert bench.hands.given_up == [half("l0", 0).end]


def test_a_late_acknowledgement_saves_the_half_of_a_datagram_that_counts_as_lost() -> None:
    bench = Bench()
    flow = source(bench)
    flow.pair(bench.at(0), half("l0", 0))
    flow.on_deadline(bench.at(9 * MS))
    bench.hear(flow, 10 * MS, heard(1))
    flow.on_deadline(bench.at(GIVE_UP_NS))
    assert bench.hands.given_up == []
    assert flow.trips.mean_ns == 0.875 * 9 * MS + 0.125 * 10 * MS


def node(bench: Bench, **changes: object) -> DatagramNode:
    return DatagramNode(
        place_of("inner"),
        DatagramOptions(**changes),  # type: ignore[arg-type]  # options of many types by name
        bench.hands,
        bench.counters,
    )


def test_a_datagram_takes_the_youngest_pair_and_a_new_pair_the_datagram_that_has_waited_longest() -> None:
    bench = Bench()
    flow = node(bench)
    left = [half("l0", attempt, side=1) for attempt in range(3)]
    right = [half("l1", attempt) for attempt in range(3)]
    for one in (*left, *right[:2]):
        flow.pair(bench.at(0), one)
    for number, one in enumerate(left):
        bench.hear(flow, 1, datagram(number + 1, one.end))
    assert bench.hands.swaps == [(left[0], right[1]), (left[1], right[0])]
    flow.pair(bench.at(2), right[2])
    assert bench.hands.swaps[2:] == [(left[2], right[2])]


def test_no_pair_is_swapped_before_a_datagram_asks_for_it() -> None:
    bench = Bench()
    flow = node(bench)
    flow.pair(bench.at(0), half("l0", 0, side=1))
    flow.pair(bench.at(0), half("l1", 0))
    assert bench.hands.swaps == []


def test_a_datagram_that_comes_before_its_herald_waits_for_it() -> None:
    bench = Bench()
    flow = node(bench)
    left, right = half("l0", 0, side=1), half("l1", 0)
    flow.pair(bench.at(0), right)
    bench.hear(flow, 1, datagram(1, left.end))
    assert bench.hands.swaps == []
    flow.pair(bench.at(2), left)
    assert bench.hands.swaps == [(left, right)]


def test_a_swap_folds_its_outcome_and_the_new_pairs_frame_into_the_datagram() -> None:
    bench = Bench()
    flow = node(bench)
    left, right = half("l0", 0, side=1), half("l1", 0, frame=3)
    flow.pair(bench.at(0), left)
    flow.pair(bench.at(0), right)
    bench.hear(flow, 1, datagram(1, left.end, frame=1))
    flow.swapped(bench.at(2), left, right, 2)
    ((to, onward),) = bench.sent(Datagram)
    assert (to, onward.end, onward.frame) == ("n2", right.end.partner, 1 ^ 3 ^ 2)
    assert onward.started_ns == 7


def test_a_failed_swap_loses_the_datagram_without_a_word() -> None:
    bench = Bench()
    flow = node(bench)
    left, right = half("l0", 0, side=1), half("l1", 0)
    flow.pair(bench.at(0), left)
    flow.pair(bench.at(0), right)
    bench.hear(flow, 1, datagram(1, left.end))
    flow.swapped(bench.at(2), left, right, None)
    assert bench.sent(Datagram) == []
    assert bench.counters["died"] == 1


def test_a_datagram_whose_half_has_died_leaves_the_queue() -> None:
    bench = Bench()
    flow = node(bench)
    left = half("l0", 0, side=1)
    flow.pair(bench.at(0), left)
    bench.hear(flow, 1, datagram(1, left.end))
    flow.gone(bench.at(2), left.end)
    flow.pair(bench.at(3), half("l1", 0))
    assert (flow.waiting, bench.hands.swaps) == (0, [])


def test_a_node_marks_while_its_queue_is_long_and_comes_to_rest_when_it_is_empty() -> None:
    bench = Bench()
    flow = node(bench, congestion="window")
    left = [half("l0", attempt, side=1) for attempt in range(1000)]
    for number, one in enumerate(left):
        flow.pair(bench.at(0), one)
        bench.hear(flow, 0, datagram(number + 1, one.end))
    due = flow.deadline_ns()
    assert due == 12_500_000
    flow.on_deadline(bench.at(due))
    assert flow.marker is not None
    assert 0.79 < flow.marker.probability < 0.81
    for number, one in enumerate(left):
        right = half("l1", number)
        flow.pair(bench.at(due), right)
        flow.swapped(bench.at(due), one, right, 0)
    marked = sum(one.marked for _, one in bench.sent(Datagram))
    assert 740 < marked < 860  # binomial(1000, 0.8), 4.7 standard deviations: false alarms 3e-6
    for _ in range(400):
        due = flow.deadline_ns()
        if due is None:
            break
        flow.on_deadline(bench.at(due))
    assert flow.marker.probability == 0.0
    assert flow.deadline_ns() is None


def test_the_destination_acknowledges_to_the_source_and_reports_the_frame() -> None:
    bench = Bench()
    flow = DatagramDestination(place_of("destination"), bench.counters)
    end = half("l2", 4, side=1).end
    bench.hear(flow, 9, datagram(5, end, frame=2), source="n2")
    ((to, answer),) = bench.sent(DatagramHeard)
    assert (to, answer) == ("n0", heard(5, started_ns=7))
    (report,) = bench.reports("datagram_arrived")
    assert (report.fields["tail_end"], report.fields["frame"]) == (str(end), 2)
