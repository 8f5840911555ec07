"""What an instrument lets people read and set: one declared table for each driver.

Owns name, unit, range and the driver's methods behind each parameter, so that `bellwire device`, `check`,
the calibration scripts and the tests of all drivers need no knowledge of makes. Refuses values out of range
before they are sent.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Literal

from bellwire.core.errors import LocalMisuse
from bellwire.drivers.readings import Value

Kind = Literal["number", "integer", "switch", "choice", "text"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """One parameter.

    `read` and `write` name methods of the driver: `read()` or `read(argument)`, `write(value)` or
    `write(argument, value)`; None = it cannot be. `low`, `high`: limits in `unit`. `emits`: writing may
    switch light, voltage or motion on. `repeatable`: writing twice is the same as once. `tolerance`: how
    far a read-back may lie from what was set, in `unit`.
    """

    name: str
    meaning: str
    unit: str = ""
    kind: Kind = "number"
    read: str | None = None
    write: str | None = None
    argument: int | str | None = None
    low: float | None = None
    high: float | None = None
    choices: tuple[str, ...] = ()
    emits: bool = False
    repeatable: bool = True
    tolerance: float = 0.0

    def holds(self, wanted: Value, found: Value) -> bool:
        """Whether a read-back agrees with what was set, within the tolerance."""
        if isinstance(wanted, str) or isinstance(found, str) or self.kind == "switch":
            return wanted == found
        return abs(found - wanted) <= self.tolerance

    def checked(self, value: Value) -> Value:
        """The value in its kind, and within its limits. Raises LocalMisuse naming value, limit and unit."""
        try:
            found = _converted(self.kind, value)
        except ValueError:
            raise LocalMisuse(f"{self.name} is a {self.kind}, not {value!r}") from None
        if self.choices and found not in self.choices:
            raise LocalMisuse(f"{self.name} is one of {', '.join(self.choices)}, not {found!r}")
        if isinstance(found, int | float) and not isinstance(found, bool):
            if self.low is not None and not found >= self.low:  # not a number is below everything
                raise LocalMisuse(f"{self.name} = {found:g} {self.unit} is below {self.low:g} {self.unit}")
            if self.high is not None and not found <= self.high:
                raise LocalMisuse(f"{self.name} = {found:g} {self.unit} is above {self.high:g} {self.unit}")
        return found


def _converted(kind: Kind, value: Value) -> Value:
    if kind == "switch":
        if isinstance(value, bool):
            return value
        word = str(value).strip().lower()
        if word in {"on", "1", "true", "yes"}:
            return True
        if word in {"off", "0", "false", "no"}:
            return False
        raise ValueError(value)
    if kind == "integer":
        number = float(value)
        if number != int(number):
            raise ValueError(value)
        return int(number)
    if kind == "number":
        return float(value)
    return str(value)


def for_each(arguments: Iterable[int | str], pattern: Parameter) -> tuple[Parameter, ...]:
    """One parameter for each channel, called `<name>.<argument>`; `{}` in the meaning is the channel."""
    return tuple(
        replace(
            pattern,
            name=f"{pattern.name}.{argument}",
            meaning=pattern.meaning.format(argument),
            argument=argument,
        )
        for argument in arguments
    )
