"""Work in a loop of its own: results, errors, what is said meanwhile, and Ctrl-C."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from collections.abc import Iterator

import pytest

from bellwire.api.background import Asides, BackgroundLoop
from bellwire.core.errors import ConfigError


@pytest.fixture
def loop() -> Iterator[BackgroundLoop]:
    made = BackgroundLoop()
    yield made
    made.close()


@pytest.fixture
def interruptible() -> Iterator[None]:
    """Ctrl-C as a program at a terminal gets it, whatever runs the tests."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


async def answer() -> int:
    await asyncio.sleep(0)
    return 42


def test_work_returns_its_result_to_whoever_waits(loop: BackgroundLoop) -> None:
    assert loop.run(answer()) == 42


async def test_work_can_be_waited_for_while_the_caller_has_a_running_loop_as_in_a_notebook(
    loop: BackgroundLoop,
) -> None:
    assert loop.run(answer()) == 42


def test_a_foreseen_error_comes_without_the_tracks_of_the_other_thread(loop: BackgroundLoop) -> None:
    async def deep() -> None:
        try:
            raise KeyError("inner")
        except KeyError as problem:
            raise ConfigError("what was typed is wrong") from problem

    with pytest.raises(ConfigError, match="what was typed is wrong") as raised:
        loop.run(deep())
    assert "deep" not in [entry.name for entry in raised.traceback]
    assert raised.value.__suppress_context__


def test_a_bug_keeps_its_tracks(loop: BackgroundLoop) -> None:
    async def deep() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError) as raised:
        loop.run(deep())
    assert "deep" in [entry.name for entry in raised.traceback]


def test_what_work_says_is_said_in_the_thread_that_waits_and_in_order(loop: BackgroundLoop) -> None:
    said: list[tuple[int, str]] = []
    asides = Asides()

    def hear(what: str) -> None:
        said.append((threading.get_ident(), what))

    say = asides.of(hear)

    async def talk() -> None:
        say("one")
        await asyncio.sleep(0)
        say("two")

    loop.run(talk(), asides)
    assert said == [(threading.get_ident(), "one"), (threading.get_ident(), "two")]


def test_ctrl_c_returns_only_after_the_work_has_cleaned_up_however_often_it_is_pressed(
    loop: BackgroundLoop, interruptible: None
) -> None:
    cleaned: list[str] = []

    async def endless() -> None:
        os.kill(os.getpid(), signal.SIGINT)
        try:
            await asyncio.Event().wait()
        finally:
            os.kill(os.getpid(), signal.SIGINT)
            for _ in range(100):  # the second cancellation strikes somewhere in here
                try:
                    await asyncio.sleep(0.001)
                except asyncio.CancelledError:
                    cleaned.append("struck again")
            cleaned.append("done")

    with pytest.raises(KeyboardInterrupt):
        loop.run(endless())
    assert cleaned == ["struck again", "done"]
    assert loop.run(answer()) == 42


def test_a_fault_on_the_way_back_is_told_in_place_of_the_interruption(
    loop: BackgroundLoop, interruptible: None
) -> None:
    async def endless() -> None:
        os.kill(os.getpid(), signal.SIGINT)
        try:
            await asyncio.Event().wait()
        finally:
            raise ConfigError("the disk is full")

    with pytest.raises(ConfigError, match="the disk is full"):
        loop.run(endless())


def test_its_own_thread_is_refused_instead_of_waiting_for_ever(loop: BackgroundLoop) -> None:
    async def within() -> None:
        loop.run(answer())

    with pytest.raises(ConfigError, match="cannot wait for itself"):
        loop.run(within())


def test_a_closed_loop_is_refused_and_leaves_no_thread() -> None:
    made = BackgroundLoop()
    made.close()
    made.close()
    with pytest.raises(ConfigError, match="open it again"):
        made.run(answer())
    assert "bellwire" not in [thread.name for thread in threading.enumerate()]
