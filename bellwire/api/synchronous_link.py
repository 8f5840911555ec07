"""A link of an open lab for scripts and notebooks: calibrated step by step, with a line of progress.

Owns the facade over asynchronous_link.py. Refuses nothing by itself.
"""

from __future__ import annotations

from collections.abc import Coroutine, Sequence
from typing import Any

from bellwire.api import asynchronous
from bellwire.api.asynchronous_link import Procedures
from bellwire.api.background import Asides, BackgroundLoop
from bellwire.api.calibrations import Calibration, Calibrations, Plot
from bellwire.api.progress import ProgressLine
from bellwire.calibration.bench import LinkBench
from bellwire.calibration.procedure import Procedure
from bellwire.calibration.standing import Standing


class Link:
    """A link of an open lab: `lab.link("alice-bob")`."""

    def __init__(self, link: asynchronous.Link, loop: BackgroundLoop, line: ProgressLine) -> None:
        self._link = link
        self._loop = loop
        self._line = line

    @property
    def name(self) -> str:
        """As the lab file has it."""
        return self._link.name

    @property
    def bench(self) -> LinkBench:
        """What stands around it, with its knobs, for procedures of one's own."""
        return self._link.bench

    @property
    def procedures(self) -> Procedures:
        """All procedures as a table: what they need, and why this link cannot have one.

        >>> link.procedures["darks"].needs  # doctest: +SKIP
        ()
        """
        return self._link.procedures

    def calibrate(
        self, procedure: str, *, override: Sequence[str] = (), seed: int = 1, **settings: float
    ) -> Calibration:
        """Run one procedure, with settings of its own in place of the usual ones.

        What it found is applied only within its limits and after read-back; whatever ends it, the instruments
        go back to where they were. A run that failed is returned, not raised: look at `passed`. `override`:
        go on without the results of these; the record says so.

        >>> link.calibrate("darks", window_s=0.5, windows=2).passed  # doctest: +SKIP
        True
        """
        asides = Asides()
        return self._shown(
            self._link.calibrate(
                procedure,
                override=override,
                seed=seed,
                on_progress=asides.of(self._line.progress),
                **settings,
            ),
            asides,
        )

    def run(self, procedure: Procedure, *, override: Sequence[str] = (), seed: int = 1) -> Calibration:
        """Run a procedure of your own as if it were of bellwire: gates, leases, restoring, record.

        >>> link.run(MyProcedure()).passed  # doctest: +SKIP
        True
        """
        asides = Asides()
        work = self._link.run(
            procedure, override=override, seed=seed, on_progress=asides.of(self._line.progress)
        )
        return self._shown(work, asides)

    def calibrate_all(
        self, only: Sequence[str] = (), *, due: bool = False, override: Sequence[str] = (), seed: int = 1
    ) -> Calibrations:
        """Every procedure that the link can have, or those of `only`, in the order in which they need each
        other. `due`: only those without a result in force.

        >>> link.calibrate_all(due=True).passed  # doctest: +SKIP
        True
        """
        asides = Asides()
        work = self._link.calibrate_all(
            only,
            due=due,
            override=override,
            seed=seed,
            on_progress=asides.of(self._line.progress),
            on_end=asides.of(self._line.ended),
        )
        try:
            return self._loop.run(work, asides)
        finally:
            self._line.done()

    def _shown(self, work: Coroutine[Any, Any, Calibration], asides: Asides) -> Calibration:
        try:
            found = self._loop.run(work, asides)
        except BaseException:
            self._line.done()
            raise
        self._line.ended(found)
        return found

    def calibrations(self) -> Calibrations:
        """The newest run of each procedure, whatever its outcome.

        Examples:
            >>> link.calibrations()["clock"]["jitter_ps"].value  # doctest: +SKIP
            48.1
        """
        return self._link.calibrations()

    def history(self, procedure: str) -> Calibrations:
        """Every run of one procedure, the newest first.

        >>> [one.passed for one in link.history("darks")]  # doctest: +SKIP
        [True, False]
        """
        return self._link.history(procedure)

    def standing(self) -> Standing:
        """Whether the calibrations that the lab file requires allow the link to be used, and why not.

        >>> link.standing().ready  # doctest: +SKIP
        True
        """
        return self._link.standing()

    def plot(self, calibration: Calibration | str) -> Plot:
        """The picture of a run, or of the newest run of a procedure; a notebook shows it.

        >>> link.plot("window").path.suffix  # doctest: +SKIP
        '.png'
        """
        return self._link.plot(calibration)

    def __repr__(self) -> str:
        return repr(self._link)
