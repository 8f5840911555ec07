"""A station follows the standing of its link's calibrations, and never blocks or forgets while it looks."""

from __future__ import annotations

import asyncio
import threading
from dataclasses import dataclass

from bellwire.core.errors import DeviceFault
from bellwire.runtime.calibration_watch import CalibrationWatch
from bellwire.runtime.health import Health

PATIENCE_S = 15.0


@dataclass(frozen=True, slots=True)
class Told:
    """A standing."""

    ready: bool
    reasons: tuple[str, ...] = ()


class Scene:
    """A watch over a standing that the test sets."""

    def __init__(self) -> None:
        self.standing = Told(True)
        self.problem: Exception | None = None
        self.reading_threads: set[int] = set()
        self.changes: list[tuple[bool, str]] = []
        self.changed = asyncio.Event()
        self.health = Health()
        self.watch = CalibrationWatch(
            "middle-calibration", self.read, self.on_change, self.health, look_s=0.001
        )

    def read(self) -> Told:
        self.reading_threads.add(threading.get_ident())
        if self.problem is not None:
            raise self.problem
        return self.standing

    def on_change(self, ready: bool, reason: str) -> None:
        self.changes.append((ready, reason))
        self.changed.set()

    async def next_change(self) -> tuple[bool, str]:
        async with asyncio.timeout(PATIENCE_S):
            await self.changed.wait()
        self.changed.clear()
        return self.changes[-1]


async def test_nothing_is_calibrated_before_the_first_look() -> None:
    scene = Scene()
    assert scene.watch.vital == (False, "the calibrations were not read yet")
    assert scene.watch.states()["middle-calibration"]["condition"] == "due"
    await scene.watch.look()
    assert scene.watch.vital == (True, "")
    assert scene.watch.states()["middle-calibration"]["condition"] == "ready"
    assert scene.changes == [(True, "")]


async def test_only_a_change_of_the_verdict_is_news_but_the_reason_is_kept_fresh() -> None:
    scene = Scene()
    for minutes in (1, 2, 3):
        scene.standing = Told(False, (f"oven failed {minutes} min ago", "rate was never done"))
        await scene.watch.look()
    assert scene.changes == []  # it was not ready before, either
    assert scene.watch.vital == (False, "oven failed 3 min ago; rate was never done")
    scene.standing = Told(True)
    await scene.watch.look()
    await scene.watch.look()
    assert scene.changes == [(True, "")]
    assert scene.health.counts["calibrations_in_force"] == 1


async def test_it_follows_by_itself_and_reads_in_another_thread() -> None:
    scene = Scene()
    scene.watch.start()
    assert await scene.next_change() == (True, "")
    scene.standing = Told(False, ("oven failed",))
    assert await scene.next_change() == (False, "oven failed")
    scene.standing = Told(True)
    assert await scene.next_change() == (True, "")
    await scene.watch.stop()
    assert threading.get_ident() not in scene.reading_threads


async def test_what_cannot_be_read_leaves_the_last_verdict_and_is_counted() -> None:
    scene = Scene()
    await scene.watch.look()
    scene.problem = DeviceFault("store", "gone")
    await scene.watch.look()
    assert scene.watch.ready
    assert scene.health.counts["calibrations_unreadable"] == 1


async def test_a_doubt_while_ready_is_counted_and_shown() -> None:
    scene = Scene()
    scene.standing = Told(True, ("the store cannot be read",))
    await scene.watch.look()
    assert scene.watch.vital == (True, "")
    assert scene.watch.states()["middle-calibration"]["reason"] == "the store cannot be read"
    assert scene.health.counts["calibrations_doubtful"] == 1


async def test_a_bug_in_the_reader_takes_readiness_away_and_is_told_to_the_loop() -> None:
    scene = Scene()
    told: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context["exception"]))
    scene.watch.start()
    assert await scene.next_change() == (True, "")
    scene.problem = ZeroDivisionError("a bug")
    ready, reason = await scene.next_change()
    assert not ready
    assert "nobody looks after the calibrations any more" in reason
    await scene.watch.stop()
    assert told == [scene.problem]


async def test_a_watch_that_was_never_started_stops() -> None:
    scene = Scene()
    await scene.watch.stop()
    assert scene.changes == []
