"""Arithmetic that takes seconds, in a process of its own: leases are renewed and tags taken meanwhile.

Owns the one worker. A thread would not do: transforms and loops hold Python's lock for seconds, and with it
every heartbeat of this process. Refuses instruments: numbers go in, numbers come out.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import BrokenExecutor
from functools import partial
from typing import TYPE_CHECKING, ParamSpec, TypeVar

if TYPE_CHECKING:
    from concurrent.futures import Executor

P = ParamSpec("P")
T = TypeVar("T")

IDLE_S = 60
"""A worker that nobody needs for so long ends by itself."""


_worker: Executor | None = None


async def in_worker(function: Callable[P, T], *arguments: P.args, **keywords: P.kwargs) -> T:
    """What a function of a module returns, or raises, in the worker. What it is given must be picklable.

    The worker is our own and not the one that joblib shares out: joblib fails with one that others began.
    """
    global _worker
    if _worker is None:
        from joblib.externals import loky

        _worker = loky.ProcessPoolExecutor(max_workers=1, timeout=IDLE_S)
    worker, work = _worker, partial(function, *arguments, **keywords)
    try:
        return await asyncio.get_running_loop().run_in_executor(worker, work)
    except BrokenExecutor:
        if _worker is worker:
            _worker = None  # it was killed: whoever comes next gets another one
        raise


def dismiss_worker() -> None:
    """End the worker, which would outlive a program by a minute. Work that it has is done first, and the next
    work begins a new one."""
    global _worker
    if _worker is not None:
        worker, _worker = _worker, None
        worker.shutdown(wait=True)
