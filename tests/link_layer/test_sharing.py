"""Schedulers on the two-machine bench: who has the pairs, over which stretch of time, and who waits how long.

Shares of pairs are binomial: of n pairs a share s has the standard error sqrt(s (1 - s) / n). Chance is
seeded, so nothing here ever fails by it; the stated false-alarm rates are those of a new seed.
"""

from collections import Counter
from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import msgspec
import pytest

from bellwire.core.effects import Effect, Send
from bellwire.core.ids import End
from bellwire.core.link_messages import PairsVoid, WindowOpened
from bellwire.core.messages import Message
from bellwire.core.notices import LinkRequested
from bellwire.core.plans import LinkPlan
from bellwire.core.settings import NetworkSettings
from tests.link_layer.bench import MS, PERIOD_NS, Channel, LinkBench, link_network
from tests.link_layer.test_link_pair import check_agreement
from tests.link_layer.wishes import plan

LEASE_MS = 200
FRAME_ATTEMPTS = 50
GOOD = Channel()
BAD = Channel(loss=0.15, copies=0.15, jitter_ns=3 * MS)


class SharedBench(LinkBench):
    """A bench whose link differs in some settings from the usual one."""

    def __init__(
        self, seed: int, changes: Mapping[str, Any], *, channel: Channel = GOOD, held_for_ns: int = 0
    ) -> None:
        self._changes = changes
        self.said: list[Message] = []
        super().__init__(seed, station=True, channel=channel, held_for_ns=held_for_ns)

    def make_network(self, station: bool) -> NetworkSettings:
        network = link_network(station=station, lanes=self._changes.get("lanes", 1))
        link = msgspec.structs.replace(network.links["a-b"], **self._changes)
        return msgspec.structs.replace(network, links={"a-b": link})

    def _execute(self, node: str, effect: Effect) -> None:
        if isinstance(effect, Send):
            self.said.append(effect.message)
        super()._execute(node, effect)

    def ask(self, *plans: LinkPlan) -> None:
        """Both nodes are told of these plans at once."""
        for one in plans:
            for node, peer in (("a", "b"), ("b", "a")):
                self._notice(node, LinkRequested(plan=msgspec.structs.replace(one, partner=peer)))

    def leave(self, *requests: str) -> None:
        """Nobody wants these any more."""
        for request in requests:
            for node in ("a", "b"):
                self.drop(node, request)

    def pairs(self) -> dict[End, str]:
        """Pairs that were handed up at side 0, by their requests, in the order of time."""
        ready = {end: use[0] or "" for sink in self.sinks["a"] for end, use in sink.ready.items()}
        return dict(sorted(ready.items(), key=lambda item: self.born_ns(item[0])))

    def born_ns(self, end: End) -> int:
        return next(sink.born[end].at_ns for sink in self.sinks["a"] if end in sink.born)

    def counter(self, name: str) -> int:
        return self.services["a"].ends["a-b"].counters[name]


# ---- shares


@pytest.mark.parametrize("lanes", [1, 2])
@pytest.mark.parametrize("scheduler", ["weighted_round_robin", "weighted_fair_queueing"])
def test_shares_of_three_rivals_are_their_weights_over_every_second(scheduler: str, lanes: int) -> None:
    """Weights 1, 2 and 3; every stretch of a second is five attempt windows.

    Allowed: 4.4 standard errors, and the attempts of the frames by which a scheduler may be late: a frame (5
    ms) of each window for round robin, two frames of the stretch for fair queueing. 30 comparisons with false
    alarms of 1e-5 each.
    """
    bench = SharedBench(11, {"scheduler": scheduler, "lanes": lanes, "success_probability": 0.1})
    weights = {"one": 1, "two": 2, "three": 3}
    bench.ask(*(plan(name, weight=weight) for name, weight in weights.items()))
    bench.run(10_200 * MS)
    pairs = [(bench.born_ns(end), request) for end, request in bench.pairs().items()]
    late = (5 if scheduler == "weighted_round_robin" else 2) * 5 / 1000
    for second in range(10):
        since_ns = (100 + 1000 * second) * MS
        counts = Counter(name for at_ns, name in pairs if since_ns <= at_ns < since_ns + 1000 * MS)
        assert counts.total() > 300 * lanes
        for name, weight in weights.items():
            share = weight / 6
            error = (share * (1 - share) / counts.total()) ** 0.5
            assert abs(counts[name] / counts.total() - share) < 4.4 * error + late
    assert bench.counter("unusable") == 0


def test_fair_queueing_keeps_the_shares_of_those_who_stay_while_others_come_and_go() -> None:
    """Guests come for 15 ms every 30 ms, so that no window lasts for a cycle; the hosts have weights 1 and 2.

    Allowed: 4.4 standard errors of more than 1500 pairs, false alarm 1e-5.
    """
    bench = SharedBench(12, {"scheduler": "weighted_fair_queueing", "success_probability": 0.1})
    bench.ask(plan("small", weight=1), plan("large", weight=2))
    for number in range(200):
        bench.ask(plan(f"guest {number}", weight=3))
        bench.run(bench.now_ns + 15 * MS)
        bench.leave(f"guest {number}")
        bench.run(bench.now_ns + 15 * MS)
    counts = Counter(bench.pairs().values())
    hosts = counts["small"] + counts["large"]
    assert hosts > 1500
    assert sum(counts.values()) - hosts > 300
    assert abs(counts["small"] / hosts - 1 / 3) < 4.4 * (2 / 9 / hosts) ** 0.5
    check_agreement(bench)
    opened = [message.window for message in bench.said if isinstance(message, WindowOpened)]
    windows = sorted({window.first: window for window in opened}.values(), key=lambda one: one.first)
    assert len(windows) > 300
    for earlier, later in pairwise(windows):
        assert later.first <= earlier.last + 1
        assert (later.first - earlier.first) % FRAME_ATTEMPTS == 0  # no frame is cut


# ---- strict priority


@pytest.mark.parametrize("arrival_ms", [*range(400, 600, 20), 599])
def test_a_higher_priority_waits_for_lower_ones_no_longer_than_one_attempt_window(arrival_ms: int) -> None:
    """At whatever time of a window it comes: no attempt begun a window after its arrival serves others."""
    bench = SharedBench(13, {"scheduler": "strict_priority", "lanes": 3})
    bench.ask(plan("low", priority=1, weight=60))
    bench.run(arrival_ms * MS)
    bench.ask(plan("high", priority=2), plan("lowest", priority=0, weight=60))
    bench.run((arrival_ms + 1000) * MS)
    bench.leave("high")
    bench.run((arrival_ms + 2000) * MS)
    served: dict[str, list[float]] = {"low": [], "high": [], "lowest": []}
    for end, request in bench.pairs().items():
        served[request].append(bench.born_ns(end) / MS - arrival_ms)
    assert not served["lowest"]
    assert len(served["high"]) > 100
    assert min(served["high"]) < LEASE_MS
    assert not [at_ms for at_ms in served["low"] if LEASE_MS < at_ms < 1000]
    assert not [at_ms for at_ms in served["high"] if at_ms > 1000 + LEASE_MS]
    assert len([at_ms for at_ms in served["low"] if at_ms > 1000]) > 100


# ---- background


@pytest.mark.parametrize("scheduler", ["weighted_round_robin", "strict_priority", "weighted_fair_queueing"])
def test_background_has_idle_time_only(scheduler: str) -> None:
    bench = SharedBench(14, {"scheduler": scheduler, "lanes": 2})
    bench.ask(plan("stock", weight=60, priority=7, background=True))
    bench.run(1000 * MS)
    assert set(bench.pairs().values()) == {"stock"}
    bench.ask(plan("user"))
    bench.run(2000 * MS)
    bench.leave("user")
    bench.run(3000 * MS)
    seconds: dict[int, Counter[str]] = {0: Counter(), 1: Counter(), 2: Counter()}
    for end, request in bench.pairs().items():
        second, into_ms = divmod(bench.born_ns(end) // MS, 1000)
        if second == 0 or into_ms > LEASE_MS:
            seconds[second][request] += 1
    assert seconds[0].total() > 300
    assert set(seconds[1]) == {"user"}
    assert seconds[1].total() > 300
    assert set(seconds[2]) == {"stock"}
    assert seconds[2].total() > 300


# ---- calendar


def of_calendar(end: End) -> str | None:
    """Whose frame a pair was made in."""
    return ("r", None, "s", "r", "gone")[end.attempt // FRAME_ATTEMPTS % 5]


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("channel", [GOOD, BAD], ids=["good", "bad"])
def test_no_success_is_ever_bound_outside_the_frames_of_its_request(seed: int, channel: Channel) -> None:
    """While demand changes, and after a restart of side 1, on all lanes."""
    calendar = ("r", None, "s", "r", "gone")
    bench = SharedBench(seed, {"scheduler": "tdma", "calendar": calendar, "lanes": 2}, channel=channel)
    bench.ask(plan("r", lanes=1))
    bench.run(1003 * MS)
    bench.ask(plan("s", weight=9), plan("t", priority=7))
    bench.run(2500 * MS)
    bench.boot("b")
    bench.ask(plan("r"), plan("s"), plan("t"))
    bench.run(4000 * MS)
    for sink in (*bench.sinks["a"], *bench.sinks["b"]):
        for end, (request, _) in sink.ready.items():
            assert request == of_calendar(end)
    counts = Counter(bench.pairs().values())
    least = 100 if channel is GOOD else 20  # enough pairs for the check to mean something
    assert counts["r"] > 2 * least
    assert counts["s"] > least
    assert bench.counter("idle") > least
    check_agreement(bench)


def test_heralds_in_frames_of_nobody_are_dropped_at_both_ends_without_a_word() -> None:
    bench = SharedBench(15, {"scheduler": "tdma", "calendar": ("r", None)})
    bench.ask(plan("r"))
    bench.run(3000 * MS)
    idle = bench.counter("idle")
    assert idle > 300
    assert abs(bench.services["b"].ends["a-b"].counters["idle"] - idle) <= 1
    assert not [message for message in bench.said if isinstance(message, PairsVoid)]
    assert all(len(sink.born) == len(sink.ready) for sink in (*bench.sinks["a"], *bench.sinks["b"]))
    assert bench.heralds - len(bench.pairs()) - idle <= 1
    # Half of the time is granted. Binomial, 4.4 standard errors of more than 600 heralds, false alarm 1e-5.
    assert abs(idle / bench.heralds - 0.5) < 4.4 * (0.25 / bench.heralds) ** 0.5


def test_background_fills_the_frames_of_nobody_and_those_that_nobody_wants() -> None:
    calendar = ("r", None, "s", "r", "gone")
    bench = SharedBench(16, {"scheduler": "tdma", "calendar": calendar, "lanes": 2})
    bench.ask(plan("r"), plan("stock", background=True))
    bench.run(2000 * MS)
    for end, request in bench.pairs().items():
        assert request == ("r" if of_calendar(end) == "r" else "stock")
    assert bench.counter("idle") == 0
    assert PERIOD_NS * FRAME_ATTEMPTS == 5 * MS
