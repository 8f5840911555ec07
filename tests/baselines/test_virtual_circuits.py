"""Circuits at one node, rule by rule (algorithms.md 10.5)."""

from bellwire.baselines.virtual_circuits import RECORDS_MAX, TRACKS_MAX, CircuitEnd, CircuitNode
from bellwire.core.baseline_messages import Expire, Track
from bellwire.core.ids import End
from tests.baselines.hands import Bench, half, place_of

HEAD = End("l0", 1, 77, 0, 0)
TAIL = End("l2", 1, 77, 0, 1)
LEFT, RIGHT = half("l0", 0, frame=1, side=1), half("l1", 0, frame=3)


def node(bench: Bench) -> CircuitNode:
    return CircuitNode(place_of("inner"), bench.hands, bench.counters)


def track(end: End, origin: End = HEAD, frame: int = 0) -> Track:
    return Track(request="r", tree=0, origin=origin, end=end, frame=frame)


def swapped(bench: Bench, outcome: int | None) -> CircuitNode:
    flow = node(bench)
    flow.pair(bench.at(0), LEFT)
    flow.pair(bench.at(1), RIGHT)
    flow.swapped(bench.at(2), LEFT, RIGHT, outcome)
    return flow


def test_a_node_swaps_at_once_and_waits_for_no_message() -> None:
    bench = Bench()
    swapped(bench, 0)
    assert bench.hands.swaps == [(LEFT, RIGHT)]


def test_tracks_of_both_directions_follow_one_record_with_the_frame_of_the_pair_ahead() -> None:
    bench = Bench()
    flow = swapped(bench, 2)
    bench.hear(flow, 3, track(LEFT.end, HEAD, frame=1))
    bench.hear(flow, 3, track(RIGHT.end, TAIL, frame=1), source="n2")
    assert bench.sent(Track) == [
        ("n2", track(RIGHT.end.partner, HEAD, frame=1 ^ 2 ^ 3)),
        ("n0", track(LEFT.end.partner, TAIL, frame=1 ^ 2 ^ 1)),
    ]


def test_a_track_that_comes_before_the_swap_waits_for_its_record() -> None:
    bench = Bench()
    flow = node(bench)
    flow.pair(bench.at(0), LEFT)
    bench.hear(flow, 1, track(LEFT.end))
    assert bench.sent(Track) == []
    flow.pair(bench.at(2), RIGHT)
    flow.swapped(bench.at(3), LEFT, RIGHT, 0)
    assert bench.sent(Track) == [("n2", track(RIGHT.end.partner, frame=3))]


def test_a_failed_swap_turns_both_tracks_into_expiries_at_their_origins() -> None:
    bench = Bench()
    flow = swapped(bench, None)
    bench.hear(flow, 3, track(LEFT.end, HEAD))
    bench.hear(flow, 3, track(RIGHT.end, TAIL), source="n2")
    assert bench.sent(Expire) == [
        ("n0", Expire(request="r", tree=0, origin=HEAD)),
        ("n3", Expire(request="r", tree=0, origin=TAIL)),
    ]


def test_a_half_that_was_cut_off_leaves_a_discard_record_and_is_never_swapped() -> None:
    bench = Bench()
    flow = node(bench)
    flow.pair(bench.at(0), LEFT)
    flow.gone(bench.at(1), LEFT.end)
    flow.pair(bench.at(2), RIGHT)
    bench.hear(flow, 3, track(LEFT.end))
    assert bench.hands.swaps == []
    assert [to for to, _ in bench.sent(Expire)] == ["n0"]


def test_tracks_without_a_record_are_bounded_and_counted_and_the_oldest_are_dropped() -> None:
    bench = Bench()
    flow = node(bench)
    for attempt in range(TRACKS_MAX + 2):
        bench.hear(flow, 0, track(half("l0", attempt, side=1).end))
    assert bench.counters["tracks_dropped"] == 2
    for number, attempt in enumerate((0, 1, 2, TRACKS_MAX + 1)):
        flow.swapped(bench.at(1), half("l0", attempt, side=1), half("l1", number), 0)
    assert [message.end.attempt for _, message in bench.sent(Track)] == [2, 3]


def test_records_that_no_track_asks_for_are_bounded_and_counted_and_the_oldest_are_dropped() -> None:
    bench = Bench()
    flow = node(bench)
    for attempt in range(RECORDS_MAX // 2 + 1):
        flow.swapped(bench.at(0), half("l0", attempt, side=1), half("l1", attempt), 0)
    assert bench.counters["records_dropped"] == 2
    for attempt in (0, 1, RECORDS_MAX // 2):
        bench.hear(flow, 1, track(half("l0", attempt, side=1).end))
    assert [message.end.attempt for _, message in bench.sent(Track)] == [1, RECORDS_MAX // 2]


def test_an_end_node_tracks_each_of_its_pairs_and_gives_up_what_expires() -> None:
    bench = Bench()
    flow = CircuitEnd(place_of("source"), bench.hands, bench.counters)
    flow.pair(bench.at(0), half("l0", 5, frame=2))
    origin = half("l0", 5).end
    assert bench.sent(Track) == [("n1", track(origin.partner, origin, frame=2))]
    bench.hear(flow, 1, Expire(request="r", tree=0, origin=origin), source="n2")
    assert bench.hands.given_up == [origin]


def test_a_track_that_reaches_the_other_end_names_the_pair_and_its_frame() -> None:
    bench = Bench()
    flow = CircuitEnd(place_of("destination"), bench.hands, bench.counters)
    bench.hear(flow, 4, track(TAIL, HEAD, frame=3), source="n2")
    (report,) = bench.reports("track_arrived")
    assert report.fields == {"origin": str(HEAD), "end": str(TAIL), "frame": 3}
