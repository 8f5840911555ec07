"""An event loop in a thread of its own, for callers that have none, or have one that they cannot wait in.

Owns the thread, and what Ctrl-C means: the work is cancelled and waited for, so that instruments are back
where they were before the prompt returns. What the work tells meanwhile is said in the caller's thread.
Refuses to be called from its own loop, which would wait for itself.
"""

from __future__ import annotations

import asyncio
import functools
import queue
import signal
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, Final, TypeVar

from bellwire.core.errors import BellwireError, ConfigError, LocalMisuse

T = TypeVar("T")
A = TypeVar("A")

JOIN_S: Final = 10.0


class Asides:
    """What work says while it goes on, to be carried out by whoever waits for it."""

    def __init__(self) -> None:
        self._waiting: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()

    def of(self, listener: Callable[[A], None]) -> Callable[[A], None]:
        """A function for the work to call; its listener is called by whoever waits."""

        def say(what: A) -> None:
            self._waiting.put(functools.partial(listener, what))

        return say

    def end(self) -> None:
        """Nothing more will be said."""
        self._waiting.put(None)

    def listen(self, *, aloud: bool = True) -> None:
        """Carry out what is said until the end; not `aloud`: only wait for it."""
        while (said := self._waiting.get()) is not None:
            if aloud:
                said()


@contextmanager
def _interrupting(cancel: Callable[[], None]) -> Iterator[list[int]]:
    """Ctrl-C calls `cancel` instead of raising wherever it strikes; yields the strikes so far.

    Only in the main thread, which is the one that signals reach, and only where nobody else has taken Ctrl-C.
    """
    strikes: list[int] = []

    def strike(number: int, _: object) -> None:
        strikes.append(number)
        cancel()

    mine = threading.current_thread() is threading.main_thread()
    if not (mine and signal.getsignal(signal.SIGINT) is signal.default_int_handler):
        yield strikes
        return
    signal.signal(signal.SIGINT, strike)
    try:
        yield strikes
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)


class BackgroundLoop:
    """Started when it is made; `close` ends it."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="bellwire", daemon=True)
        self._thread.start()

    @property
    def is_closed(self) -> bool:
        """Whether nothing can be carried out any more."""
        return self._loop.is_closed()

    def run(self, work: Coroutine[Any, Any, T], asides: Asides | None = None) -> T:
        """Carry out `work` in the loop and wait for its end; returns or raises what it does.

        KeyboardInterrupt cancels it; it is raised here when the work has ended, however often Ctrl-C was
        pressed. Raises ConfigError when the loop is closed, or is the caller's own.
        """
        if self.is_closed or threading.current_thread() is self._thread:
            work.close()
            raise ConfigError(
                "this lab is closed: open it again"
                if self.is_closed
                else "this is the lab's own thread, which cannot wait for itself: in a procedure, use `work`"
            )
        asides = Asides() if asides is None else asides
        task: asyncio.Task[T] | None = None

        def begin() -> None:
            nonlocal task
            task = self._loop.create_task(work)
            task.add_done_callback(lambda _: asides.end())

        def cancel() -> None:
            self._loop.call_soon_threadsafe(lambda: None if task is None else task.cancel())

        with _interrupting(cancel) as strikes:
            self._loop.call_soon_threadsafe(begin)
            try:
                asides.listen()
            except BaseException:  # a listener's, or what a signal handler of somebody else has raised
                cancel()
                asides.listen(aloud=False)
                raise
        assert task is not None
        return _result(task, interrupted=bool(strikes))

    def close(self) -> None:
        """Cancel what is left, and end the thread."""
        if self.is_closed:
            return
        self.run(_cancel_others())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(JOIN_S)
        self._loop.close()


def _result(task: asyncio.Task[T], *, interrupted: bool) -> T:
    if task.cancelled():
        raise KeyboardInterrupt
    error = task.exception()
    if isinstance(error, BellwireError) and not isinstance(error, LocalMisuse):
        # foreseen: what went on in the other thread is of no use to whoever typed this line
        raise error.with_traceback(None) from None
    if error is not None:
        raise error
    if interrupted:
        raise KeyboardInterrupt
    return task.result()


async def _cancel_others() -> None:
    tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await asyncio.get_running_loop().shutdown_asyncgens()
    await asyncio.get_running_loop().shutdown_default_executor()
