"""The parameters of an emulated DeCoP controller: names, types, who may read and write them.

Owns access and the numbers of its errors, as a client meets them. Refuses to know what a parameter does.
The numbers are those of a public simulator written beside the maker's command reference, which itself is
not public.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import IntEnum

from bellwire.drivers.decop import DecopValue


class UserLevel(IntEnum):
    """Who a client is; lower may do more."""

    INTERNAL = 0
    SERVICE = 1
    MAINTENANCE = 2
    NORMAL = 3
    READONLY = 4


class Refusal(Exception):
    """What a controller answers instead of a value: `Error: <number> <text>`."""

    def __init__(self, number: int, text: str) -> None:
        super().__init__(f"Error: {number} {text}")
        self.number = number
        self.text = text


INVALID, UNKNOWN, NO_ACCESS, READ_ONLY = -1, -3, -9, -11
CLIPPED = 2
"""Status of a set whose value was out of range: the nearest allowed one was taken."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Leaf:
    """One parameter. `write` None: read only; it returns the status. `write_level`: who may write it."""

    read: Callable[[], DecopValue]
    write: Callable[[DecopValue], int] | None = None
    write_level: UserLevel = UserLevel.NORMAL


@dataclass(slots=True)
class DecopTree:
    """Parameters by name."""

    leaves: dict[str, Leaf] = field(default_factory=dict[str, Leaf])

    def constant(self, name: str, value: DecopValue) -> None:
        """A parameter that never changes."""
        self.leaves[name] = Leaf(read=lambda: value)

    def shown(self, name: str, read: Callable[[], DecopValue]) -> None:
        """A parameter that clients can only read."""
        self.leaves[name] = Leaf(read=read)

    def stored(
        self,
        name: str,
        values: dict[str, DecopValue],
        default: DecopValue,
        *,
        limits: Callable[[], tuple[float, float]] | None = None,
        level: UserLevel = UserLevel.NORMAL,
        then: Callable[[], None] = lambda: None,
    ) -> None:
        """A parameter that is kept in `values`; out of `limits` the nearest one is taken, with a warning."""
        values[name] = default

        def write(value: DecopValue) -> int:
            wanted = as_kind(default, value)
            status = 0
            if limits is not None and isinstance(wanted, int | float):
                least, most = limits()
                nearest = min(max(wanted, least), most)
                status = 0 if nearest == wanted else CLIPPED
                wanted = nearest
            values[name] = wanted
            then()
            return status

        self.leaves[name] = Leaf(read=lambda: values[name], write=write, write_level=level)

    def value(self, name: str) -> DecopValue:
        """What a client reads. Raises Refusal."""
        return self._leaf(name).read()

    def set(self, name: str, value: DecopValue, level: UserLevel) -> int:
        """The status of a client's set. Raises Refusal."""
        leaf = self._leaf(name)
        if leaf.write is None:
            raise Refusal(READ_ONLY, "parameter not settable")
        if level > leaf.write_level:
            raise Refusal(NO_ACCESS, f"access denied, user level {leaf.write_level:d} needed")
        return leaf.write(value)

    def _leaf(self, name: str) -> Leaf:
        if name not in self.leaves:
            raise Refusal(UNKNOWN, "no such parameter")
        return self.leaves[name]


def as_kind(pattern: DecopValue, value: DecopValue) -> DecopValue:
    """The value in the type of `pattern`; whole numbers pass for reals. Raises Refusal."""
    if isinstance(pattern, float) and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if type(value) is not type(pattern):
        raise Refusal(INVALID, "invalid argument")
    return value
