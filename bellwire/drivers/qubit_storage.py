"""What a memory is asked to keep, and what came of it."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Preparation:
    """A state of one qubit and how it is looked at after storage. `turns`: of |0>, about X, Y and X, in units
    of 1/256 of a full turn. `bit`: what is measured where nothing was lost.
    """

    turns: tuple[int, int, int]
    basis: Literal["X", "Y", "Z"]
    bit: int


@dataclass(frozen=True, slots=True)
class Stored:
    """What came of a state that was stored. `bit` None: it was lost. `stored_s`: by the clock of the memory;
    None: it has not said.
    """

    bit: int | None
    stored_s: float | None
