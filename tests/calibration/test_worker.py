"""The process in which procedures do their arithmetic."""

import os
import signal
from concurrent.futures import BrokenExecutor
from math import sqrt
from operator import truediv

import pytest

from bellwire.calibration.worker import dismiss_worker, in_worker
from bellwire.study.evaluation_running import OneMachine


async def test_it_is_one_process_that_answers_and_refuses_in_its_own_words() -> None:
    assert await in_worker(sqrt, 9.0) == 3.0
    process = await in_worker(os.getpid)
    assert process not in (os.getpid(), None)
    assert await in_worker(os.getpid) == process
    with pytest.raises(ZeroDivisionError):
        await in_worker(truediv, 1, 0)
    dismiss_worker()
    assert await in_worker(os.getpid) != process
    dismiss_worker()
    dismiss_worker()


async def test_a_worker_that_was_killed_is_replaced() -> None:
    process = await in_worker(os.getpid)
    with pytest.raises(BrokenExecutor):
        await in_worker(os.kill, process, signal.SIGKILL)
    assert await in_worker(os.getpid) != process
    dismiss_worker()


async def test_studies_run_on_several_processes_of_a_program_that_has_calibrated() -> None:
    """joblib took the worker for one of its own, and failed."""
    await in_worker(sqrt, 4.0)
    assert list(OneMachine(2).results([])) == []
    dismiss_worker()
