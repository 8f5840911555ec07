"""A session on a transport that a test plays: one request in flight, nothing stale taken, nothing waits for
ever.
"""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from bellwire.core.errors import DeviceFault
from bellwire.drivers.boostik import Boostik
from bellwire.drivers.faults import Disconnected, LinkTimeout, ProtocolFault
from bellwire.drivers.replies import line, lines
from bellwire.drivers.session import Session, SessionSettings, Transport

QUICK = SessionSettings(timeout_s=0.15, reply_bytes_max=64, quiet_s=0.001, hang_s=0.1)


class Stage(Transport):
    """The other end of a line. `answers`: what each request makes come; `way`, `gate`: hold opening, and
    writes, while closed."""

    def __init__(self, answers: dict[bytes, list[bytes]] | None = None) -> None:
        self.answers = answers or {}
        self.written: list[bytes] = []
        self.arrived: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        self.gate = threading.Event()
        self.gate.set()
        self.way = threading.Event()
        self.way.set()
        self.opened = 0
        self.closed = 0
        self.problem: Exception | None = None
        self.threads: set[int] = set()

    def open(self, timeout_s: float) -> None:
        self.opened += 1
        self.way.wait(10)
        if self.problem is not None:
            raise self.problem

    def close(self) -> None:
        self.closed += 1

    def write(self, octets: bytes) -> None:
        self.threads.add(threading.get_ident())
        self.gate.wait(10)
        if self.problem is not None:
            raise self.problem
        self.written.append(octets)
        for piece in self.answers.get(octets, []):
            self.arrived.put(piece)

    def read_some(self, timeout_s: float) -> bytes:
        try:
            return self.arrived.get(timeout=timeout_s)
        except queue.Empty:
            return b""


class Amplifier(Boostik):
    """An instrument whose line a test plays."""

    def __init__(self, name: str, stage: Stage) -> None:
        super().__init__(name, "nowhere", settings=QUICK)
        self._stage = stage

    def _transport(self) -> Transport:
        return self._stage


@asynccontextmanager
async def on(stage: Stage, **keywords: Any) -> AsyncIterator[Session]:
    session = Session("thing", stage, QUICK, **keywords)
    await session.open()
    try:
        yield session
    finally:
        stage.gate.set()
        await session.close()


async def in_turn(check: Callable[[], bool]) -> None:
    for _ in range(500):
        if check():
            return
        await asyncio.sleep(0.002)
    raise AssertionError("it did not come to that")


async def refused(work: Awaitable[object], kind: type[DeviceFault], words: str) -> DeviceFault:
    with pytest.raises(kind, match=words) as caught:
        await work
    return caught.value


# -- replies ------------------------------------------------------------------------------------------------


async def test_a_reply_in_pieces_is_put_together() -> None:
    async with on(Stage({b"a\n": [b"an", b"sw", b"er\n"]})) as session:
        assert session.heard_at_ns is None
        assert await session.exchange(b"a\n", line()) == b"answer"
        assert session.heard_at_ns is not None


async def test_requests_of_many_tasks_wait_for_each_other_and_share_one_thread() -> None:
    stage = Stage({b"%d\n" % k: [b"%d\n" % (k * k)] for k in range(20)})
    async with on(stage) as session:
        found = await asyncio.gather(*(session.exchange(b"%d\n" % k, line()) for k in range(20)))
    assert found == [b"%d" % (k * k) for k in range(20)]
    assert stage.written == [b"%d\n" % k for k in range(20)]
    assert stage.threads - {threading.get_ident()} == stage.threads
    assert len(stage.threads) == 1


async def test_no_reply_in_time_is_a_timeout_that_tells_what_came() -> None:
    async with on(Stage({b"a\n": [b"half"]})) as session:
        await refused(session.exchange(b"a\n", line()), LinkTimeout, r"no whole reply to b'a\\n'.*b'half'")
        assert not session.is_open


async def test_after_any_fault_the_session_is_out_of_step_until_it_was_opened_anew() -> None:
    stage = Stage({b"b\n": [b"fine\n"]})
    async with on(stage) as session:
        first = await refused(session.exchange(b"a\n", line()), LinkTimeout, "no whole reply")
        for work in (session.exchange(b"b\n", line()), session.send(b"b\n"), session.listen(0.01)):
            assert await refused(work, LinkTimeout, "no whole reply") is first
        assert stage.written == [b"a\n"]
        assert await session.failed() is first
        await session.close()
        await session.open()
        assert session.is_open
        assert await session.exchange(b"b\n", line()) == b"fine"
    assert stage.opened == stage.closed == 2


async def test_a_reply_that_came_too_late_is_never_the_answer_to_the_next_request() -> None:
    stage = Stage({b"b\n": [b"new\n"]})
    async with on(stage) as session:
        await refused(session.exchange(b"a\n", line()), LinkTimeout, "no whole reply")
        await session.close()
        stage.arrived.put(b"old\n")  # within the same buffers: a line that opening does not clear
        await session.open()
        await refused(session.exchange(b"b\n", line()), ProtocolFault, "unsolicited bytes .*old")
    assert stage.written == [b"a\n"]


async def test_a_second_line_behind_the_reply_puts_out_of_step_with_the_first() -> None:
    async with on(Stage({b"a\n": [b"one\ntwo\n"]})) as session:
        await refused(session.exchange(b"a\n", line()), ProtocolFault, "more than one reply")


@pytest.mark.parametrize("piece", [b"x" * 65, b"x" * 65 + b"\n"])
async def test_a_reply_has_a_bound_whether_it_ends_or_not(piece: bytes) -> None:
    async with on(Stage({b"a\n": [piece]})) as session:
        await refused(session.exchange(b"a\n", line()), ProtocolFault, "exceeds 64 bytes")


async def test_a_line_that_never_becomes_quiet_is_given_up() -> None:
    stage = Stage()
    for _ in range(10):
        stage.arrived.put(b"noise and more ")
    async with on(stage) as session:
        await refused(session.send(b"a\n"), ProtocolFault, "does not become quiet")
    assert stage.written == []


# -- devices that speak unasked -----------------------------------------------------------------------------


async def test_strays_before_and_after_a_reply_go_to_whoever_takes_them() -> None:
    strays: list[bytes] = []
    stage = Stage({b"a\n": [b"answer\nlater\n"]})
    async with on(stage, on_stray=strays.append) as session:
        stage.arrived.put(b"earlier\n")
        assert await session.exchange(b"a\n", line()) == b"answer"
        await in_turn(lambda: strays == [b"earlier\n"])
        assert await session.listen(0.01) == b"later\n"
        assert await session.listen(0.001) == b""
        assert session.is_open


async def test_without_a_taker_strays_are_a_fault_and_nothing_is_sent() -> None:
    stage = Stage()
    async with on(stage) as session:
        stage.arrived.put(b"hello\n")
        await refused(session.send(b"a\n"), ProtocolFault, "unsolicited bytes before a request: .*hello")
    assert stage.written == []


async def test_a_protocol_that_names_its_requests_may_miss_a_reply_and_stay_in_step() -> None:
    stage = Stage({b"b\n": [b"fine\n"]})
    async with on(stage, on_stray=lambda octets: None) as session:
        assert await session.try_exchange(b"a\n", line(), timeout_s=0.02) is None
        assert session.is_open
        assert await session.try_exchange(b"b\n", line()) == b"fine"


# -- what ends badly ----------------------------------------------------------------------------------------


async def test_an_abandoned_request_leaves_nothing_for_the_next() -> None:
    stage = Stage({b"a\n": [b"of a\n"], b"b\n": [b"of b\n"]})
    async with on(stage) as session:
        stage.gate.clear()
        asking = asyncio.create_task(session.exchange(b"a\n", line()))
        await in_turn(lambda: bool(stage.threads))
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        stage.gate.set()
        await refused(session.exchange(b"b\n", line()), LinkTimeout, "a request was abandoned")


async def test_a_request_abandoned_while_it_waits_for_its_turn_harms_nobody() -> None:
    stage = Stage({b"a\n": [b"of a\n"], b"c\n": [b"of c\n"]})
    async with on(stage) as session:
        stage.gate.clear()
        first = asyncio.create_task(session.exchange(b"a\n", line()))
        second = asyncio.create_task(session.exchange(b"b\n", line()))
        await in_turn(lambda: bool(stage.threads))
        second.cancel()
        stage.gate.set()
        assert await first == b"of a"
        assert await session.exchange(b"c\n", line()) == b"of c"
    assert stage.written == [b"a\n", b"c\n"]


async def test_a_call_that_hangs_costs_its_thread_and_never_the_loop() -> None:
    stage = Stage()
    beats = 0

    async def beat() -> None:
        nonlocal beats
        while True:
            await asyncio.sleep(0.005)
            beats += 1

    async with on(stage) as session:
        heart = asyncio.create_task(beat())
        stage.gate.clear()
        await refused(
            session.exchange(b"a\n", line()), LinkTimeout, "hangs beyond 0.25 s; its thread is given"
        )
        assert beats >= 5
        await session.close()
        heart.cancel()
        # Open again while the first thread still hangs: a new one does the work.
        await session.open()
        stage.gate.set()
        stage.answers = {b"b\n": [b"fine\n"]}
        await in_turn(lambda: stage.written == [b"a\n"])
        assert await session.exchange(b"b\n", line()) == b"fine"
    assert len(stage.threads) == 2


async def test_an_instrument_whose_line_is_being_opened_is_not_connected_yet() -> None:
    stage = Stage()
    stage.way.clear()
    amplifier = Amplifier("thing", stage)
    connecting = asyncio.create_task(amplifier.connect())
    await in_turn(lambda: stage.opened == 1)
    await refused(amplifier.read_parameter("current_ma"), Disconnected, "not connected")
    connecting.cancel()
    stage.way.set()
    with pytest.raises(asyncio.CancelledError):
        await connecting
    await in_turn(lambda: stage.closed == 1)


async def test_closing_ends_the_thread() -> None:
    async with on(Stage()):
        names = [thread.name for thread in threading.enumerate()]
        assert "thing-session" in names
    await in_turn(lambda: "thing-session" not in [thread.name for thread in threading.enumerate()])


async def test_errors_of_the_system_are_told_as_a_lost_connection() -> None:
    stage = Stage()
    async with on(stage) as session:
        stage.problem = BrokenPipeError(32, "Broken pipe")
        await refused(session.send(b"a\n"), Disconnected, "BrokenPipeError.*Broken pipe")
        assert isinstance(session.fault, Disconnected)


async def test_a_bug_of_ours_is_not_hidden_as_a_fault_of_the_device() -> None:
    async with on(Stage()) as session:

        def bug() -> None:
            raise ZeroDivisionError("ours")

        with pytest.raises(ZeroDivisionError):
            await session.call(bug)
        assert session.fault is None


async def test_a_place_that_refuses_cannot_be_used() -> None:
    stage = Stage()
    stage.problem = Disconnected("thing", "nobody there")
    session = Session("thing", stage, QUICK)
    await refused(session.open(), Disconnected, "nobody there")
    assert not session.is_open
    await session.close()
    await session.close()
    assert stage.closed == 1
    await refused(session.send(b"a\n"), Disconnected, "the session is not open")


async def test_a_reply_that_makes_no_sense_is_given_up_once_and_told_at_once() -> None:
    told: list[DeviceFault] = []
    async with on(Stage(), on_fault=told.append) as session:
        first, second = ProtocolFault("thing", "nonsense"), ProtocolFault("thing", "more of it")
        session.give_up(first)
        assert told == [first]
        session.give_up(second)
        assert told == [first]
        assert await refused(session.send(b"a\n"), ProtocolFault, "nonsense") is first
    assert told == [first]


async def test_a_wait_for_the_fault_ends_when_it_comes() -> None:
    async with on(Stage()) as session:
        waiting = asyncio.create_task(session.failed())
        await asyncio.sleep(0)
        assert not waiting.done()
        await refused(session.exchange(b"a\n", lines(2), timeout_s=0.01), LinkTimeout, "0.01 s")
        assert await waiting is session.fault
