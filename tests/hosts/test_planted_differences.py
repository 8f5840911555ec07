"""Planted differences between hosts: each must be noticed by the rule that exists for it.

A checker that never fires proves nothing. Every case changes one thing of the host, the World or a part,
runs a lab that passes without the change (the first test), and demands that the named rule breaks.
"""

from collections.abc import Callable
from typing import Any

import pytest

from bellwire.core.effects import ReleaseQubit
from bellwire.core.events import Persisted, Received, TimerFired
from bellwire.gem.fold import Fold
from bellwire.gem.replica import Replica
from bellwire.gem.update import Update
from bellwire.labs import Lab, Scenario
from bellwire.simulator_backend.author_logs import AuthorLogs
from bellwire.simulator_backend.bindings import VirtualBindings
from bellwire.simulator_backend.chance import Chance
from bellwire.simulator_backend.clock import TIMER, VirtualClock
from bellwire.simulator_backend.host import VirtualHost
from bellwire.simulator_backend.network import Post
from bellwire.simulator_backend.store import VirtualStore
from bellwire.simulator_backend.world import World
from bellwire.soak.rules import Broken
from bellwire.swapping.protocols import Swapping
from tests.hosts.checked import CheckedHistory
from tests.hosts.perturbing import asap_chain, permuted
from tests.simulation.faulty import crash

Plant = Callable[[pytest.MonkeyPatch], None]

DEAD_FOR_MS = {"waiting_lab": 0.15}
"""News of a death takes three hops of 50 us at most: the shortest way, passed on or not."""


def quiet_lab() -> Lab:
    return asap_chain(count=60)


def waiting_lab() -> Lab:
    """Without cutoffs only news ends a dead pair."""
    return asap_chain(count=60, cutoff_ms=None)


def crashing_lab() -> Lab:
    """A relay restarts within the flight time of a message, again and again, sometimes while it measures."""
    crashes = tuple(crash("n1", 8 + 1.013 * count, 0.02) for count in range(12))
    return asap_chain(count=60, scenario=Scenario(crashes=crashes, delay_jitter_ns=1_000_000))


def facts_come_without_delay(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(AuthorLogs, "delay_ns", lambda self, author, observer: 0)


def one_fold_for_all(patch: pytest.MonkeyPatch) -> None:
    shared: list[Fold] = []
    begin = Replica.__init__

    def share(self: Any, *arguments: Any) -> None:
        begin(self, *arguments)
        shared.append(self.fold)
        self.fold = shared[0]

    def take(self: Any, author: str, incarnation: int, first: int, facts: Any, base: int = 1) -> None:
        self.streams.offer(author, incarnation, first, facts, base)

    patch.setattr(Replica, "__init__", share)
    patch.setattr(Replica, "take", take)


def news_of_ends_is_dropped(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Update, "_on_news", lambda self, step, event: None)


def news_of_ends_is_not_passed_on(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Update, "_pass_on", lambda self, step, news: None)


def timers_fire_one_nanosecond_early(patch: pytest.MonkeyPatch) -> None:
    at = VirtualClock.at

    def early(self: Any, when_ns: int, priority: int, call: Any, *arguments: Any) -> None:
        at(self, when_ns - 1 if priority == TIMER else when_ns, priority, call, *arguments)

    def fire(self: Any, node: str, machine: Any, planned_ns: int) -> None:
        if self.machines.get(node) is machine and self._timers[node] == planned_ns:
            self._timers[node] = None
            self._tell(node, TimerFired())

    patch.setattr(VirtualClock, "at", early)
    patch.setattr(VirtualHost, "_timer", fire)


def messages_of_the_old_life_arrive(patch: pytest.MonkeyPatch) -> None:
    def arrive(self: Any, to: str, source: str, incarnation: int, message: Any) -> None:
        self._tell(to, Received(source=source, incarnation=incarnation, message=message))

    patch.setattr(VirtualHost, "_arrive", arrive)


def messages_are_one_nanosecond_early(patch: pytest.MonkeyPatch) -> None:
    begin = Post.__init__

    def faster(self: Any, *arguments: Any) -> None:
        begin(self, *arguments)
        self._delays = {
            one: {two: max(0, delay_ns - 1) for two, delay_ns in row.items()}
            for one, row in self._delays.items()
        }

    patch.setattr(Post, "__init__", faster)


def release_comes_before_measure(patch: pytest.MonkeyPatch) -> None:
    measure = Swapping._measure

    def release_first(self: Any, step: Any, key: Any, left: Any, right: Any) -> None:
        step.order(ReleaseQubit(slot=left.slot.index, tag=0))
        measure(self, step, key, left, right)

    patch.setattr(Swapping, "_measure", release_first)


def records_are_confirmed_twice(patch: pytest.MonkeyPatch) -> None:
    persisted = VirtualHost._persisted

    def twice(self: Any, node: str, incarnation: int, record: Any, token: int) -> None:
        persisted(self, node, incarnation, record, token)
        self._tell(node, Persisted(token=token))

    patch.setattr(VirtualHost, "_persisted", twice)


def outcomes_are_told_wrong(patch: pytest.MonkeyPatch) -> None:
    measure = World.measure_bell

    def wrong(self: Any, *arguments: Any) -> int | None:
        outcome = measure(self, *arguments)
        return None if outcome is None else outcome ^ 1

    patch.setattr(World, "measure_bell", wrong)


def failed_swaps_are_told_as_done(patch: pytest.MonkeyPatch) -> None:
    measure = World.measure_bell

    def hopeful(self: Any, *arguments: Any) -> int:
        return measure(self, *arguments) or 0

    patch.setattr(World, "measure_bell", hopeful)


def cutoffs_are_ignored(patch: pytest.MonkeyPatch) -> None:
    on_deadline = Swapping.on_deadline

    def without(self: Any, step: Any) -> None:
        self._losses.limits.clear()
        on_deadline(self, step)

    patch.setattr(Swapping, "on_deadline", without)


def released_qubits_stay(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(VirtualBindings, "release", lambda self, node, order: None)


def crashed_memories_keep_their_qubits(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(VirtualBindings, "power_loss", lambda self, node: None)


def incarnations_repeat(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(VirtualStore, "next_incarnation", lambda self, node: 1)


PLANTED: list[tuple[Plant, Callable[[], Lab], set[str]]] = [
    (facts_come_without_delay, quiet_lab, {"facts too fast"}),
    (one_fold_for_all, quiet_lab, {"ledger and watermarks"}),
    (news_of_ends_is_dropped, waiting_lab, {"dead pair held"}),
    (news_of_ends_is_not_passed_on, waiting_lab, {"dead pair held"}),
    (timers_fire_one_nanosecond_early, quiet_lab, {"early timer"}),
    (messages_of_the_old_life_arrive, crashing_lab, {"old incarnation"}),
    (messages_are_one_nanosecond_early, quiet_lab, {"message too fast"}),
    (release_comes_before_measure, quiet_lab, {"empty slot"}),
    (records_are_confirmed_twice, quiet_lab, {"one answer"}),
    (outcomes_are_told_wrong, quiet_lab, {"ledger and World"}),
    (failed_swaps_are_told_as_done, quiet_lab, {"ledger and World"}),
    (cutoffs_are_ignored, quiet_lab, {"cutoff"}),
    (released_qubits_stay, quiet_lab, {"slot and World"}),
    (crashed_memories_keep_their_qubits, crashing_lab, {"slot and World"}),
    (incarnations_repeat, crashing_lab, {"incarnation"}),
]


@pytest.mark.parametrize("lab", [quiet_lab, waiting_lab, crashing_lab])
def test_nothing_is_noticed_where_nothing_is_planted(lab: Callable[[], Lab]) -> None:
    history = CheckedHistory(lab(), 3, dead_for_ms=DEAD_FOR_MS.get(lab.__name__, 4000.0))
    assert history.play() == 60


@pytest.mark.parametrize(("plant", "lab", "rules"), PLANTED, ids=[plant.__name__ for plant, *_ in PLANTED])
def test_a_planted_difference_is_noticed(
    plant: Plant, lab: Callable[[], Lab], rules: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    plant(monkeypatch)
    with pytest.raises(Broken) as caught:
        CheckedHistory(lab(), 3, dead_for_ms=DEAD_FOR_MS.get(lab.__name__, 4000.0)).play()
    assert caught.value.rule in rules, caught.value


def draws_met_twice(patch: pytest.MonkeyPatch, uniform: Callable[..., float]) -> int:
    """Play tidy and permuted hosts; every key must give one number. Returns how many were asked for again."""
    book: dict[Any, float] = {}
    again = 0

    def written(self: Any, *key: Any) -> float:
        nonlocal again
        number = uniform(self, *key)
        again += (self.seed, key) in book
        if book.setdefault((self.seed, key), number) != number:
            raise Broken("chance by key", f"{key}: {number} and {book[self.seed, key]}")
        return number

    patch.setattr(Chance, "uniform", written)
    for seed in range(2):
        for order in (None, permuted(9)):
            assert CheckedHistory(quiet_lab(), seed, perturb=order).play() == 60
    return again


def test_chance_by_order_of_call_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    uniform = Chance.uniform
    assert draws_met_twice(monkeypatch, uniform) >= 500
    calls: dict[int, int] = {}

    def by_order(self: Any, *key: Any) -> float:
        calls[id(self)] = calls.get(id(self), 0) + 1
        return uniform(self, "call", calls[id(self)])

    with pytest.raises(Broken, match="chance by key"):
        draws_met_twice(monkeypatch, by_order)
