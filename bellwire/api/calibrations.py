"""What calibrating returns to a script: one run of a procedure, or several, that print as plain tables.

Owns `Calibration`, `Calibrations` and `Plot`. Refuses judgement (calibration's standing.py) and storage: a
record that was read is looked at, never changed.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final, overload

from bellwire.api.text_tables import error, number, span, spoken, text_table
from bellwire.calibration.records import CalibrationRecord, Check, Outcome, Quantity
from bellwire.calibration.standing import age_in_words
from bellwire.calibration.store import CalibrationStore
from bellwire.core.errors import ConfigError
from bellwire.core.registry import nearest

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

VALUES_SHOWN: Final = 3


@dataclass(frozen=True, slots=True)
class Plot:
    """A picture that is on the disk. As the last line of a cell, a notebook shows it.

    >>> plot.path.name  # doctest: +SKIP
    'alice-bob.clock.1795699212000000000.png'
    """

    path: Path

    @property
    def png(self) -> bytes:
        """The picture itself. Raises ConfigError when the file has gone."""
        try:
            return self.path.read_bytes()
        except OSError as problem:
            raise ConfigError(
                f"the picture cannot be read: {problem.strerror}", where=str(self.path)
            ) from None

    def _repr_png_(self) -> bytes:
        return self.png


@dataclass(frozen=True, slots=True)
class Calibration:
    """One run of one procedure on one link.

    >>> darks = link.calibrate("darks")  # doctest: +SKIP
    >>> darks.passed, darks["dark_hz.alice.h"].value  # doctest: +SKIP
    (True, 51.25)
    """

    record: CalibrationRecord
    store: CalibrationStore = field(repr=False)

    @property
    def procedure(self) -> str:
        """Its name."""
        return self.record.procedure

    @property
    def passed(self) -> bool:
        """Whether it measured to its end and met its limits."""
        return self.record.outcome is Outcome.PASSED

    @property
    def in_force(self) -> bool:
        """Whether it passed and is in date now; a later run may have replaced it."""
        return self.record.in_force(time.time_ns())

    @property
    def quantities(self) -> Mapping[str, Quantity]:
        """Values with their standard uncertainty, by name."""
        return self.record.quantities

    @property
    def plot(self) -> Plot:
        """The picture of it. Raises ConfigError when it has none."""
        if not self.record.plot:
            raise ConfigError(f"{self.procedure} of {self.record.link} has no picture of this run")
        return Plot(self.store.file(self.record.plot))

    @property
    def data(self) -> dict[str, NDArray[np.generic]]:
        """The raw arrays, by name; empty when it kept none."""
        if not self.record.data:
            return {}
        import numpy as np

        with np.load(self.store.file(self.record.data)) as kept:
            return {name: kept[name] for name in kept.files}

    def __getitem__(self, name: str) -> Quantity:
        """A quantity. Raises ConfigError with the nearest name."""
        if name not in self.quantities:
            raise ConfigError(
                f'{self.procedure} has no quantity "{name}"{nearest(name, self.quantities)}; it '
                f"{self.record.outcome.value}: {self.record.reason}"
            )
        return self.quantities[name]

    def __repr__(self) -> str:
        record = self.record
        lines = [f"{record.procedure} of {record.link} {record.outcome.value}: {record.reason}"]
        took = f"{span((record.ended_ns - record.started_ns) / 1e9)}, {_ago(record)}"
        lines.append(took + (f", holds for {span(record.valid_for_s)}" if self.passed else ""))
        lines += [f"gate opened by hand: {one}" for one in record.overrides]
        lines += [f"set: {knob} = {spoken(value)}" for knob, value in record.applied.items()]
        checks = {check.quantity: check for check in record.checks}
        if record.quantities:
            rows = [
                [name, number(one.value), error(one.sigma), one.unit, _limits(checks.get(name))]
                for name, one in record.quantities.items()
            ]
            lines += ["", text_table(["quantity", "value", "±", "unit", "limits"], rows)]
        others = [str(check) for name, check in checks.items() if name not in record.quantities]
        return "\n".join(lines + [f"check: {one}" for one in others])


class Calibrations(Sequence[Calibration]):
    """Several runs, by position or by the name of their procedure (the first of that name).

    `left_out`: why a procedure was not run, by name. `passed`: nothing is left to be done about any of them.

    Examples:
        >>> all_of_it = link.calibrate_all()  # doctest: +SKIP
        >>> all_of_it["clock"]["jitter_ps"]  # doctest: +SKIP
        Quantity(value=48.1, sigma=0.3, unit='ps', low=None, high=None)
    """

    def __init__(
        self,
        title: str,
        runs: Sequence[Calibration],
        *,
        left_out: Mapping[str, str] | None = None,
        passed: bool | None = None,
    ) -> None:
        self.title = title
        self.left_out = dict(left_out or {})
        self.passed = all(one.passed for one in runs) if passed is None else passed
        self._runs = tuple(runs)

    def __len__(self) -> int:
        return len(self._runs)

    def __iter__(self) -> Iterator[Calibration]:
        return iter(self._runs)

    @overload
    def __getitem__(self, which: int | str) -> Calibration: ...

    @overload
    def __getitem__(self, which: slice) -> Calibrations: ...

    def __getitem__(self, which: int | str | slice) -> Calibration | Calibrations:
        if isinstance(which, slice):
            return Calibrations(self.title, self._runs[which])
        if isinstance(which, int):
            return self._runs[which]
        for one in self._runs:
            if one.procedure == which:
                return one
        if which in self.left_out:
            raise ConfigError(f"{which} was left out: {self.left_out[which]}")
        raise ConfigError(f'"{which}" is none of them{nearest(which, [one.procedure for one in self._runs])}')

    def __repr__(self) -> str:
        rows = [
            [one.procedure, one.record.outcome.value, _found(one), _ago(one.record)] for one in self._runs
        ]
        rows += [[name, "left out", why, ""] for name, why in self.left_out.items()]
        if not rows:
            return f"{self.title}: nothing yet"
        return text_table(["procedure", "outcome", "found", "when"], rows, title=self.title)


def _found(calibration: Calibration) -> str:
    record = calibration.record
    if not calibration.passed:
        return record.reason
    found = [
        f"{name} {number(one.value)} ± {error(one.sigma)} {one.unit}".rstrip()
        for name, one in list(record.quantities.items())[:VALUES_SHOWN]
    ]
    more = len(record.quantities) - VALUES_SHOWN
    return ", ".join(found) + (f" and {more} more" if more > 0 else "")


def _ago(record: CalibrationRecord) -> str:
    return f"{age_in_words(time.time_ns() - record.ended_ns)} ago"


def _limits(check: Check | None) -> str:
    if check is None:
        return ""
    sides = [] if check.low is None else [f">= {number(check.low)}"]
    sides += [] if check.high is None else [f"<= {number(check.high)}"]
    return " and ".join(sides) + ("" if check.passed else ", NOT MET")
