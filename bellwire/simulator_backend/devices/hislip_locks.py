"""The locks of a HiSLIP server: one exclusive, or shared ones of one key (IVI-6.1 section 6.5).

Owns who holds what, and the wait for it. Refuses to know messages.
"""

from __future__ import annotations

import asyncio

from bellwire.simulator_backend.devices.hislip_words import LockAnswer


class HislipLocks:
    """Sessions are known by their numbers. A holder of the shared lock may take the exclusive one on top."""

    def __init__(self) -> None:
        self._exclusive: int | None = None
        self._shared: set[int] = set()
        self._key = b""
        self._changed = asyncio.Event()

    @property
    def is_exclusive(self) -> bool:
        """Whether the exclusive lock is held."""
        return self._exclusive is not None

    @property
    def holders(self) -> int:
        """How many sessions hold a lock."""
        return len(self._shared if self._exclusive is None else self._shared | {self._exclusive})

    async def pass_(self, session: int) -> None:
        """Wait until no lock keeps the session from the device."""
        while not self._passes(session):
            await self._changed.wait()

    async def acquire(self, session: int, key: bytes, timeout_s: float) -> LockAnswer:
        """Take the exclusive lock (empty key) or the shared one; FAILURE when it is not free within the
        time.
        """
        if self._exclusive == session or (key and session in self._shared):
            return LockAnswer.ERROR
        try:
            async with asyncio.timeout(timeout_s):
                while not self._is_free(session, key):
                    await self._changed.wait()
        except TimeoutError:
            return LockAnswer.FAILURE
        if key:
            self._key = key
            self._shared.add(session)
        else:
            self._exclusive = session
        return LockAnswer.SUCCESS

    def release(self, session: int) -> LockAnswer:
        """Give back the lock taken last; ERROR when the session holds none."""
        if self._exclusive == session:
            self._exclusive = None
            answer = LockAnswer.SUCCESS
        elif session in self._shared:
            self._shared.discard(session)
            answer = LockAnswer.SHARED_RELEASED
        else:
            return LockAnswer.ERROR
        self._changed.set()
        self._changed = asyncio.Event()
        return answer

    def leave(self, session: int) -> None:
        """The session ends and gives back all it holds."""
        if self.release(session) is LockAnswer.SUCCESS:
            self.release(session)

    def _passes(self, session: int) -> bool:
        if self._exclusive is not None:
            return self._exclusive == session
        return not self._shared or session in self._shared

    def _is_free(self, session: int, key: bytes) -> bool:
        if self._exclusive is not None:
            return False
        if key:
            return not self._shared or self._key == key
        return not self._shared or session in self._shared
