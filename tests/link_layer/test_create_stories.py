"""Users at both ends ask, cancel and give back as chance has it, over a channel that loses, doubles, delays
and reorders; memories forget, measurements fail, nodes restart. What must hold, holds in every story.

A story is replayed by its seed. The checks were tried against pairs that settle without the other end's word,
failed measurements that the other end is not told of, and removals that are said only once: each fails here.
"""

import random

import pytest

from bellwire.core.link_words import LinkAck, LinkDone, LinkErr, LinkOkKeep
from bellwire.core.settings import Timers
from tests.link_layer.bench import MS, Channel
from tests.link_layer.creating import CreateBench, check_each_ended_once, check_nothing_is_left

BAD = Channel(loss=0.15, copies=0.15, jitter_ns=3 * MS)
TIMERS = Timers(
    answer_ns=20 * MS, station_silence_ns=300 * MS, herald_wait_ns=100 * MS, age_max_ns=2_000 * MS
)
ACTS = 40


class Story:
    """One run of chance."""

    def __init__(self, seed: int, *, station: bool, restarts: bool) -> None:
        self.chance = random.Random(seed * 2 + station)
        self.bench = CreateBench(
            seed,
            station=station,
            channel=BAD,
            no_result=0.05,
            link={"creates_max": 12},
            timers=TIMERS,
        )
        self.numbers: dict[int, str] = {}
        self._last = {"a": 0, "b": 0}
        self._restarting = ["a", "b", *(["m"] if station else [])] if restarts else []
        for act in range(ACTS):
            self.bench.run(self.bench.now_ns + self.chance.randint(1, 60) * MS)
            if self._restarting and act % 10 == 9:
                self.bench.boot(self.chance.choice(self._restarting))
            else:
                self._act()
            self._compare_queues()

    def _act(self) -> None:
        chance, bench = self.chance, self.bench
        node = chance.choice(("a", "b"))
        act = chance.random()
        if act < 0.55:
            self._create(node)
        elif act < 0.65 and self._last[node]:
            bench.cancel(node, chance.randint(1, self._last[node]))
        elif act < 0.85:
            for ok in bench.of(node, LinkOkKeep)[-6:]:
                if chance.random() < 0.7:
                    bench.release(node, ok.end)
        elif act < 0.9:
            bench.forget_memory(node)

    def _create(self, node: str) -> None:
        chance = self.chance
        kind = chance.choice(("keep", "measure"))
        asked: dict[str, object] = {"kind": kind, "priority": chance.choice((0, 0, 3))}
        if chance.random() < 0.2:
            asked |= {"rate_hz": chance.choice((20.0, 200.0)), "within_ns": chance.randint(20, 300) * MS}
        else:
            asked["count"] = chance.randint(1, 3 if kind == "keep" else 30)
            if chance.random() < 0.4:
                asked["within_ns"] = chance.randint(2, 300) * MS
            asked["atomic"] = chance.random() < 0.3
            asked["consecutive"] = chance.random() < 0.7
        if kind == "keep" and chance.random() < 0.5:
            asked["hold_ns"] = chance.randint(1, 50) * MS
        self._last[node] += 1
        self.bench.create(node, self._last[node], **asked)

    def _compare_queues(self) -> None:
        """A number means the same item wherever and whenever it is seen."""
        for node in ("a", "b"):
            for item in self.bench.creates(node).queue.items.values():
                if item.number is not None:
                    assert self.numbers.setdefault(item.number, item.name) == item.name

    def finish(self) -> None:
        """The channel recovers, users give everything back, what still waits is withdrawn."""
        self.bench.channel = Channel(loss=0.05, jitter_ns=MS)
        for _ in range(40):
            self.bench.release_all()
            self.bench.run(self.bench.now_ns + 50 * MS)
        for node in ("a", "b"):
            for item in list(self.bench.creates(node).queue.items.values()):
                if item.here:
                    self.bench.cancel(node, item.asked.create)
        check_nothing_is_left(self.bench)


@pytest.mark.parametrize("station", [True, False], ids=["station", "direct"])
@pytest.mark.parametrize(
    "seed", [*range(8), 13, 27, 31, 35, 50, 61]
)  # some told of 20 pairs where 19 were asked
def test_without_restarts_both_users_stand_with_the_same_measured_pairs(seed: int, station: bool) -> None:
    story = Story(seed, station=station, restarts=False)
    bench = story.bench
    story.finish()
    check_each_ended_once(bench)
    served = 0
    for origin in ("a", "b"):
        for _, word in bench.asked[origin]:
            here, there = (bench.standing(node, origin, word.create) for node in ("a", "b"))
            ends = [
                [end for end in bench.endings(node) if (end.origin, end.create) == (origin, word.create)]
                for node in ("a", "b")
            ]
            if word.kind == "measure":
                assert {end.partner for end in here} == set(there)
                for end, ok in here.items():
                    assert (ok.sequence, ok.frame) == (there[end.partner].sequence, there[end.partner].frame)
            if all(isinstance(each[0], LinkDone) for each in ends if each) and all(ends):
                served += 1
                if word.kind == "measure" and word.count is not None:
                    assert len(here) == word.count
                    assert [each[0].pairs for each in ends] == [word.count] * 2  # type: ignore[union-attr]
    assert served >= 3  # enough for the checks to have had something to look at


@pytest.mark.parametrize("station", [True, False], ids=["station", "direct"])
@pytest.mark.parametrize("seed", range(6))
def test_with_restarts_every_create_of_a_living_user_ends_once_and_no_slot_leaks(
    seed: int, station: bool
) -> None:
    story = Story(100 + seed, station=station, restarts=True)
    story.finish()
    check_each_ended_once(story.bench)


@pytest.mark.parametrize("seed", range(4))
def test_under_loss_doubling_and_reordering_both_ends_number_alike_and_acknowledge_those_numbers(
    seed: int,
) -> None:
    bench = CreateBench(seed, channel=Channel(loss=0.3, copies=0.3, jitter_ns=10 * MS), timers=TIMERS)
    for create in range(8):
        for node in ("a", "b"):
            bench.create(node, create, count=500, kind="measure", priority=create % 3)
            bench.run(bench.now_ns + 3 * MS)
    bench.run(bench.now_ns + 400 * MS)
    seen = [
        {item.name: (item.number, item.asked) for item in bench.creates(node).queue.items.values()}
        for node in ("a", "b")
    ]
    assert seen[0] == seen[1]
    assert len({number for number, _ in seen[0].values()}) == len(seen[0]) >= 14  # NOTIME: 0.51^6 = 2 % each
    for node in ("a", "b"):
        told = {answer.create: answer.number for answer in bench.of(node, LinkAck)}
        assert told == {
            item.asked.create: item.number for item in bench.creates(node).queue.items.values() if item.here
        }
        ended = [end for end in bench.endings(node) if end.origin == node]
        assert all(isinstance(end, LinkErr) and end.code == "NOTIME" for end in ended)
