"""Arithmetic that takes seconds, in a process of its own: leases are renewed and tags taken meanwhile.

Owns the one worker. A thread would not do: transforms and loops hold Python's lock for seconds, and with it
every heartbeat of this process. Refuses instruments: numbers go in, numbers come out.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

IDLE_S = 60
"""A worker that nobody needs for so long ends by itself."""


async def in_worker(function: Callable[P, T], *arguments: P.args, **keywords: P.kwargs) -> T:
    """What a function of a module returns, or raises, in the worker. What it is given must be picklable."""
    from functools import partial

    from joblib.externals.loky import get_reusable_executor

    executor = get_reusable_executor(max_workers=1, timeout=IDLE_S)
    work = partial(function, *arguments, **keywords)
    return await asyncio.get_running_loop().run_in_executor(executor, work)
