"""The standing of one link, kept up with the store: what a station asks every second.

Owns reading only when the store's files have changed, and going on with what was read when the store cannot
be read any more. Refuses to write. Calls block: the live host makes them in a thread.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final

from bellwire.calibration.records import CalibrationRecord
from bellwire.calibration.standing import Standing, standing
from bellwire.calibration.store import CalibrationStore, Signature
from bellwire.core.errors import ConfigError, DeviceFault

RACY_NS: Final = 2_000_000_000
"""Files may change twice within one tick of their clock: what was changed so lately is read again."""


class StoredStanding:
    """Call it for the standing now."""

    def __init__(
        self,
        store: CalibrationStore,
        link: str,
        required: Sequence[str],
        now_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        """now_ns: unix time."""
        self.reads = 0  # how often the store was opened
        self._store = store
        self._link = link
        self._required = tuple(required)
        self._now_ns = now_ns
        self._records: tuple[CalibrationRecord, ...] | None = None  # None: it could not be read yet
        self._signature: Signature | None = None  # None: read again

    def __call__(self) -> Standing:
        """The standing; a store that cannot be read is a reason, never an exception."""
        now_ns = self._now_ns()
        doubt = self._refresh(now_ns)
        if self._records is None:
            return Standing(ready=False, reasons=(doubt,))
        found = standing(self._link, self._records, self._required, now_ns)
        return replace(found, reasons=(*found.reasons, doubt)) if doubt else found

    def _refresh(self, now_ns: int) -> str:
        """Read what is new; returns what kept it from that, or nothing."""
        signature = self._store.signature()
        if signature == self._signature:
            return ""
        try:
            self.reads += 1
            self._records = self._store.decisive(self._link)
        except (DeviceFault, ConfigError) as problem:
            self._signature = None
            return f"calibrations of {self._link} cannot be read: {problem}"
        changed_ns = max((one[2] for one in signature if one is not None), default=0)
        self._signature = signature if abs(now_ns - changed_ns) > RACY_NS else None
        return ""
