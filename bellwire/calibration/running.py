"""One run of one procedure, from its gates to its record: the part that must not go wrong.

Owns the order: gates, a record that it has begun, leases, measurement, files, settings with read-back,
record, leases given back. Whatever ends it (a fault, a refusal, Ctrl-C, a full disk), everything that was
moved goes back while the leases still hold, the old calibration stays in force, and a record says why.
Refuses to judge: limits are the procedure's checks.
"""

from __future__ import annotations

import asyncio
import io
import time
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

from bellwire.calibration.access import Access, Held
from bellwire.calibration.bench import LinkBench
from bellwire.calibration.estimates.likelihood import NoEstimate
from bellwire.calibration.procedure import Finding, Procedure, Progress, Unfit
from bellwire.calibration.records import CalibrationRecord, Check, Outcome
from bellwire.calibration.work import Work
from bellwire.core.errors import ConfigError, DeviceFault, LocalMisuse
from bellwire.drivers.clocks.refusals import NoTiming

if TYPE_CHECKING:
    from matplotlib.figure import Figure

BRING_BACK_S = 60.0
"""An oven's set point and a motor's way are set within seconds; a line that is slower than this is gone."""
FIGURE_INCHES = (8.0, 5.0)


class Keeper(Protocol):
    """Where records are kept; `CalibrationStore`. Every method raises DeviceFault when the disk does not
    take it."""

    def prepare(self) -> None: ...

    def put(self, record: CalibrationRecord) -> None: ...

    def keep_file(self, record_id: str, suffix: str, content: bytes) -> str:
        """Keep a file beside the records; returns what a record calls it."""
        ...

    def in_force(self, link: str, procedure: str, now_ns: int) -> CalibrationRecord | None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class RunTerms:
    """Who runs procedures and how.

    `seed`: of the order of points and the like. `overrides`: procedures whose gates the operator opens by
    hand. `lease_s`: how long agents wait for a holder that has vanished.
    """

    operator: str = ""
    software: str = ""
    seed: int = 1
    overrides: tuple[str, ...] = ()
    lease_s: float = 10.0
    on_progress: Callable[[Progress], None] = lambda _: None
    clock: Callable[[], int] = time.time_ns


async def run_procedure(
    procedure: Procedure,
    bench: LinkBench,
    access: Access,
    keeper: Keeper,
    table: Mapping[str, Procedure],
    terms: RunTerms,
) -> CalibrationRecord:
    """Run it and return its record, which is in the store by then.

    `table`: all procedures, for the gates. Raises ConfigError when the link cannot have it, and
    CancelledError after everything was brought back and the record was written.
    """
    obstacle = procedure.obstacle(bench)
    if obstacle is not None:
        raise ConfigError(f"{procedure.name} of {bench.link}: {obstacle}")
    keeper.prepare()
    started_ns = terms.clock()
    draft = CalibrationRecord(
        record_id=f"{bench.link}.{procedure.name}.{started_ns}",
        link=bench.link,
        procedure=procedure.name,
        outcome=Outcome.ABORTED,
        reason="begun; nothing says how it ended",
        started_ns=started_ns,
        ended_ns=started_ns,
        valid_for_s=procedure.valid_for_s,
        software=terms.software,
        operator=terms.operator,
    )
    known = _known(bench, keeper, table, started_ns)
    missing = [
        name
        for name in procedure.needs
        if name in table and table[name].obstacle(bench) is None and name not in known
    ]
    opened = [name for name in missing if name in terms.overrides]
    closed = [name for name in missing if name not in terms.overrides]
    if closed:
        record = replace(draft, reason=f"needs {', '.join(closed)} first, which is not in force")
        keeper.put(record)
        return record
    draft = replace(draft, overrides=tuple(f"without {name}, by the operator" for name in opened))
    keeper.put(replace(draft, record_id=f"{draft.record_id}.begun"))
    run = _Run(procedure, bench, keeper, known, terms, draft)
    instruments = procedure.instruments(bench)
    try:
        run.draft = replace(run.draft, instruments=await access.seen(instruments))
        holder = f"{procedure.name} of {bench.link}" + (f" ({terms.operator})" if terms.operator else "")
        async with access.hold(instruments, holder, lease_s=terms.lease_s, on_loss="restore") as held:
            return await run.under_lease(held)
    except (DeviceFault, LocalMisuse) as fault:  # no lease, or it was lost on the way out
        return run.record or run.end(Outcome.ABORTED, str(fault))
    except asyncio.CancelledError:
        if run.record is None:
            run.end(Outcome.ABORTED, "interrupted before anything was moved")
        raise


def _known(
    bench: LinkBench, keeper: Keeper, table: Mapping[str, Procedure], now_ns: int
) -> dict[str, CalibrationRecord]:
    found = {name: keeper.in_force(bench.link, name, now_ns) for name in table}
    return {name: record for name, record in found.items() if record is not None}


class _Run:
    """What is between the leases. `record`: once it is written."""

    def __init__(
        self,
        procedure: Procedure,
        bench: LinkBench,
        keeper: Keeper,
        known: Mapping[str, CalibrationRecord],
        terms: RunTerms,
        draft: CalibrationRecord,
    ) -> None:
        self.draft = draft
        self.record: CalibrationRecord | None = None
        self._procedure = procedure
        self._bench = bench
        self._keeper = keeper
        self._known = known
        self._terms = terms

    async def under_lease(self, held: Held) -> CalibrationRecord:
        import numpy as np

        work = Work(
            self._procedure.name,
            self._bench,
            held,
            known=self._known,
            chance=np.random.default_rng([self._terms.seed, zlib.crc32(self._procedure.name.encode())]),
            on_progress=self._terms.on_progress,
        )
        try:
            finding = await self._procedure.run(work)
            return await self._conclude(work, finding)
        except Unfit as unfit:
            await asyncio.to_thread(self._pack, Finding(quantities={}, arrays=unfit.arrays, draw=unfit.draw))
            return self.end(Outcome.FAILED, unfit.problem, await self._bring_back(work))
        except (NoEstimate, NoTiming) as problem:
            return self.end(Outcome.FAILED, str(problem), await self._bring_back(work))
        except (DeviceFault, LocalMisuse) as fault:
            return self.end(Outcome.ABORTED, str(fault), await self._bring_back(work))
        except asyncio.CancelledError:
            self.end(Outcome.ABORTED, "interrupted", await self._bring_back(work))
            raise
        except BaseException as problem:
            self.end(Outcome.ABORTED, f"{type(problem).__name__}: {problem}", await self._bring_back(work))
            raise

    async def _conclude(self, work: Work, finding: Finding) -> CalibrationRecord:
        checks = tuple(self._limited(check) for check in finding.checks)
        finding = replace(finding, checks=checks)
        await asyncio.to_thread(self._pack, finding)
        self.draft = replace(self.draft, quantities=dict(finding.quantities), checks=checks)
        missed = [str(check) for check in checks if not check.passed]
        if missed:
            return self.end(Outcome.FAILED, "; ".join(missed), await self._bring_back(work))
        applied = await work.keep(finding.settings)
        self.draft = replace(
            self.draft,
            applied={str(knob): value for knob, value in applied.items()},
            before={str(knob): work.before[knob] for knob in applied},
        )
        return self.end(Outcome.PASSED, "within its limits" if checks else "measured")

    def _limited(self, check: Check) -> Check:
        """The check with the limits that the operator has set for it, or for all of its family: "dark_hz" is
        that of "dark_hz.alice.h". Names in lower case, with _ for spaces.
        """
        name = check.quantity.lower().replace(" ", "_")
        given = self._bench.limits
        named, family = (f"{self._procedure.name}.{one}" for one in (name, name.partition(".")[0]))
        limits = given.get(named, given.get(family))
        return check if limits is None else replace(check, low=limits[0], high=limits[1])

    async def _bring_back(self, work: Work) -> Sequence[str]:
        """Shielded: a second Ctrl-C must not leave a laser on."""
        task = asyncio.get_running_loop().create_task(self._in_time(work))
        while True:
            try:
                return await asyncio.shield(task)
            except asyncio.CancelledError:
                if task.cancelled():
                    raise

    async def _in_time(self, work: Work) -> Sequence[str]:
        try:
            async with asyncio.timeout(BRING_BACK_S):
                return await work.bring_back()
        except TimeoutError:
            return (
                f"bringing back what was moved took more than {BRING_BACK_S:g} s: look at the instruments",
            )

    def _pack(self, finding: Finding) -> None:
        """Raw data and picture, which the store takes with the record."""
        if finding.arrays:
            import numpy as np

            packed = io.BytesIO()
            np.savez_compressed(packed, **finding.arrays)  # type: ignore[arg-type]
            self.draft = replace(
                self.draft, data=self._keeper.keep_file(self.draft.record_id, ".npz", packed.getvalue())
            )
        if finding.draw is not None:
            self.draft = replace(
                self.draft, plot=self._keeper.keep_file(self.draft.record_id, ".png", picture(finding.draw))
            )

    def end(self, outcome: Outcome, reason: str, trouble: Sequence[str] = ()) -> CalibrationRecord:
        """Write the record. What could not be brought back stands in its reason."""
        record = replace(
            self.draft,
            outcome=outcome,
            reason="; ".join([reason, *trouble]),
            ended_ns=self._terms.clock(),
            applied=self.draft.applied if outcome is Outcome.PASSED else {},
        )
        self._keeper.put(record)
        self.record = record
        return record


def picture(draw: Callable[[Figure], None]) -> bytes:
    """A PNG of what `draw` draws."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=FIGURE_INCHES, layout="constrained")
    FigureCanvasAgg(figure)
    draw(figure)
    packed = io.BytesIO()
    figure.savefig(packed, format="png", dpi=120)
    return packed.getvalue()
