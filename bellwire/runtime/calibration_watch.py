"""Calibrations of the link that a station serves: while one that it must have is missing, it heralds nothing.

Owns the look once a second, in a thread because the store lies on a disk. Refuses to read the store and to
judge (bellwire.calibration): the standing is handed in as a function.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Final, Protocol

from bellwire.core.errors import BellwireError
from bellwire.runtime.health import Health

LOOK_S: Final = 1.0

DUE: Final = "due"
"""Condition of the calibrations of a link that may not be used."""


class CalibrationStanding(Protocol):
    """Whether a link's calibrations allow it to be used."""

    @property
    def ready(self) -> bool: ...

    @property
    def reasons(self) -> Sequence[str]:
        """Why not, a sentence each; or, while ready, what an operator should know nevertheless."""
        ...


StandingReader = Callable[[], CalibrationStanding]
"""Tells the standing now. It may block, and is called in a thread."""


class CalibrationWatch:
    """The standing as it was at the last look; `on_change(ready, reason)` is called in the loop."""

    def __init__(
        self,
        name: str,
        read: StandingReader,
        on_change: Callable[[bool, str], None],
        health: Health,
        *,
        look_s: float = LOOK_S,
    ) -> None:
        self.name = name
        self.ready = False
        self.reason = "the calibrations were not read yet"
        self._read = read
        self._on_change = on_change
        self._health = health
        self._look_s = look_s
        self._task: asyncio.Task[None] | None = None

    @property
    def vital(self) -> tuple[bool, str]:
        """Whether the link may be used, and why not."""
        return self.ready, "" if self.ready else self.reason

    def states(self) -> dict[str, dict[str, str]]:
        """For people, as instruments are told."""
        return {self.name: {"condition": "ready" if self.ready else DUE, "reason": self.reason}}

    def start(self) -> None:
        """Begin to look."""
        self._task = asyncio.get_running_loop().create_task(self._keep_looking())
        self._task.add_done_callback(self._ended)

    async def stop(self) -> None:
        """End the looks."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def look(self) -> None:
        """One look; a standing that cannot be told leaves the last one."""
        try:
            standing = await asyncio.to_thread(self._read)
        except BellwireError as problem:
            self._health.count("calibrations_unreadable", problem=str(problem))
            return
        reason = "; ".join(standing.reasons)
        if standing.ready and reason:
            self._health.count("calibrations_doubtful", reason=reason)
        self._stand(standing.ready, reason)

    async def _keep_looking(self) -> None:
        while True:
            await self.look()
            await asyncio.sleep(self._look_s)

    def _ended(self, task: asyncio.Task[None]) -> None:
        """Nobody looks any more: nothing may be taken for calibrated, and the loop is told of the bug."""
        if task.cancelled() or (error := task.exception()) is None:
            return
        self._stand(False, f"nobody looks after the calibrations any more: {error!r}")
        asyncio.get_running_loop().call_exception_handler(
            {"message": f"{self.name} has ended", "exception": error}
        )

    def _stand(self, ready: bool, reason: str) -> None:
        self.reason = reason  # ages in it change all the time; only the verdict is news
        if ready != self.ready:
            self.ready = ready
            self._health.tell("calibrations_in_force" if ready else "calibrations_due", reason=reason)
            self._on_change(ready, reason)
