"""What a procedure is: a step with a name, what it needs, which instruments it moves, and what it finds.

Owns the form. A procedure measures through `Work` and returns a `Finding`; leases, restoring, records and
plots are the runner's (running.py). Refuses to decide about its own acceptance: limits are checks in the
finding.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from bellwire.calibration.bench import Knob, LinkBench
from bellwire.calibration.records import Check, Quantity
from bellwire.drivers.readings import Value

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from bellwire.calibration.work import Work


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a procedure stands. `fraction`: 0..1; None: it cannot tell."""

    procedure: str
    sentence: str
    fraction: float | None = None
    values: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What a procedure measured.

    `settings`: what shall stay set when every check has passed; whatever else was moved goes back. `arrays`:
    raw data to keep. `draw`: draws the plot into an empty figure.
    """

    quantities: Mapping[str, Quantity]
    checks: tuple[Check, ...] = ()
    settings: Mapping[Knob, Value] = field(default_factory=dict)
    arrays: Mapping[str, NDArray[np.generic]] = field(default_factory=dict)
    draw: Callable[[Figure], None] | None = None


class Procedure(Protocol):
    """One step of the calibration of a link.

    `needs`: procedures whose records must be in force before, where they apply to the link. `valid_for_s`:
    how long a result may be believed.
    """

    @property
    def name(self) -> str: ...

    @property
    def meaning(self) -> str:
        """One sentence for people."""
        ...

    @property
    def needs(self) -> tuple[str, ...]: ...

    @property
    def valid_for_s(self) -> float: ...

    def obstacle(self, bench: LinkBench) -> str | None:
        """Why this link cannot have it, or None."""
        ...

    def instruments(self, bench: LinkBench) -> tuple[str, ...]:
        """Which instruments it moves or listens to, each once."""
        ...

    async def run(self, work: Work) -> Finding:
        """Measure. Raises DeviceFault and Unfit; may be cancelled at any await."""
        ...


class Unfit(Exception):
    """The measurement cannot go on, through no fault of an instrument: no light, no peak, a limit reached.

    `arrays` and `draw` of what was measured until then, as in a finding: operators want to see it.
    """

    def __init__(
        self,
        problem: str,
        *,
        arrays: Mapping[str, Any] | None = None,
        draw: Callable[[Figure], None] | None = None,
    ) -> None:
        super().__init__(problem)
        self.problem = problem
        self.arrays = dict(arrays or {})
        self.draw = draw


def unique(*names: str | None) -> tuple[str, ...]:
    """Names in their order, each once, without None."""
    return tuple(dict.fromkeys(name for name in names if name is not None))
