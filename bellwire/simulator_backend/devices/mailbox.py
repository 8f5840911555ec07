"""Operation mailbox of the emulated memory controller: ids, order, durations, and the store of ends.

Owns that an id is carried out at most once, that operations run one after the other, and that each ends
in done or failed. Refuses to know what an operation does (`memory_core.py`).
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable
from functools import partial

from bellwire.core.errors import LocalMisuse
from bellwire.drivers.framing import Status
from bellwire.drivers.memory_words import ARGUMENTS, ARGUMENTS_OF, Operation, OperationState, Reason
from bellwire.simulator_backend.devices.operation_durations import OperationDurations

ENDS_KEPT = 1024
DEPTH = 64


class OperationFailed(Exception):
    """Raised by the core while executing: the operation ends in failed, and no qubit was touched."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(reason.name)
        self.reason = reason


class Mailbox:
    """`execute(code, arguments)` gives the result; `ended(id, state, result, at_ns)` is told of each end, and
    again, with the time at which it was, when its operation is posted again. `now`: in ns.

    `schedule(duration_ns, callback)` calls back after the duration, and not at all once the power is gone.
    """

    def __init__(
        self,
        execute: Callable[[Operation, tuple[int, ...]], int],
        ended: Callable[[int, OperationState, int, int], None],
        now: Callable[[], int],
        schedule: Callable[[int, Callable[[], None]], None],
        durations: OperationDurations,
    ) -> None:
        self.last_operation = 0
        self._execute = execute
        self._ended = ended
        self._now = now
        self._schedule = schedule
        self._durations = durations
        self._ends: OrderedDict[int, tuple[OperationState, int, int]] = OrderedDict()
        self._queue: deque[tuple[int, Operation, tuple[int, ...]]] = deque()
        self._busy = False
        self._forgotten_to = 0

    @property
    def pending(self) -> int:
        """Operations posted and not ended."""
        return len(self._queue) + int(self._busy)

    def post(self, words: tuple[int, ...]) -> Status:
        """Take an operation: id, code, arguments. Ids grow; a known one is answered from the store."""
        if len(words) < 2 or words[0] == 0 or len(words) > 2 + ARGUMENTS:
            return Status.RANGE
        operation = words[0]
        if operation in self._ends:
            end = self._ends[operation]
            if end[0] is not OperationState.PENDING:
                self._ended(operation, *end)
            return Status.OK
        if operation <= self.last_operation:
            return Status.RANGE
        if self.pending >= DEPTH:
            return Status.BUSY
        try:
            code = Operation(words[1])
        except ValueError:
            return Status.RANGE
        if len(words) - 2 != ARGUMENTS_OF[code]:
            return Status.RANGE
        self.last_operation = operation
        self._ends[operation] = (OperationState.PENDING, 0, 0)
        while len(self._ends) > ENDS_KEPT:
            self._forgotten_to = self._ends.popitem(last=False)[0]
        self._queue.append((operation, code, words[2:]))
        self._start_next()
        return Status.OK

    def end_of(self, operation: int) -> tuple[OperationState, int]:
        """Where an operation stands, and its result or reason."""
        if operation in self._ends:
            return self._ends[operation][:2]
        # An id that was jumped over can never run any more (`post` refuses it): never seen, for good.
        forgotten = 0 < operation <= self._forgotten_to
        return (OperationState.FORGOTTEN if forgotten else OperationState.NEVER_SEEN), 0

    def _start_next(self) -> None:
        while self._queue and not self._busy:
            operation, code, arguments = self._queue.popleft()
            duration_ns = self._durations.of(code)
            if duration_ns:
                self._busy = True
                self._schedule(duration_ns, partial(self._finish_later, operation, code, arguments))
            else:
                self._finish(operation, code, arguments)

    def _finish_later(self, operation: int, code: Operation, arguments: tuple[int, ...]) -> None:
        self._busy = False
        self._finish(operation, code, arguments)
        self._start_next()

    def _finish(self, operation: int, code: Operation, arguments: tuple[int, ...]) -> None:
        try:
            state, result = OperationState.DONE, self._execute(code, arguments)
        except OperationFailed as failure:
            state, result = OperationState.FAILED, int(failure.reason)
        except LocalMisuse:
            # The World refuses what no hardware could do (a gate on a qubit that is not there).
            state, result = OperationState.FAILED, int(Reason.REFUSED_BY_HARDWARE)
        self._ends[operation] = (state, result, self._now())
        self._ended(operation, *self._ends[operation])
