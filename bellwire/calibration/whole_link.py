"""All procedures of a link, one after the other, each behind its gates.

Owns the sequence and what is told of it. A procedure that did not pass closes the way for those that need it;
the others go on, because an operator wants to know all that is wrong. Refuses single runs (running.py).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from bellwire.calibration.access import Access
from bellwire.calibration.bench import LinkBench
from bellwire.calibration.order import Step
from bellwire.calibration.procedure import Procedure
from bellwire.calibration.records import CalibrationRecord, Outcome
from bellwire.calibration.running import Keeper, RunTerms, run_procedure


@dataclass(frozen=True, slots=True)
class Ended:
    """What became of one step: its record, or why it was left out."""

    step: Step
    record: CalibrationRecord | None = None
    left_out: str = ""

    @property
    def passed(self) -> bool:
        """Whether there is nothing to be done about it."""
        return self.record is None if self.step.obstacle is not None else _passed(self.record)


async def calibrate_link(
    steps: Sequence[Step],
    bench: LinkBench,
    access: Access,
    keeper: Keeper,
    table: Mapping[str, Procedure],
    terms: RunTerms,
    on_end: Callable[[Ended], None] = lambda _: None,
) -> tuple[Ended, ...]:
    """Run the steps in their order. Cancelled: the step that runs ends as `run_procedure` says."""
    found: list[Ended] = []
    broken: set[str] = set()
    for step in steps:
        ended = await _step(step, broken, bench, access, keeper, table, terms)
        if not ended.passed:
            broken.add(step.procedure.name)
        found.append(ended)
        on_end(ended)
    return tuple(found)


async def _step(
    step: Step,
    broken: set[str],
    bench: LinkBench,
    access: Access,
    keeper: Keeper,
    table: Mapping[str, Procedure],
    terms: RunTerms,
) -> Ended:
    if step.obstacle is not None:
        return Ended(step, left_out=step.obstacle)
    stopped = [name for name in step.procedure.needs if name in broken and name not in terms.overrides]
    if stopped:
        return Ended(step, left_out=f"needs {', '.join(stopped)}, which did not pass")
    record = await run_procedure(step.procedure, bench, access, keeper, table, terms)
    return Ended(step, record)


def _passed(record: CalibrationRecord | None) -> bool:
    return record is not None and record.outcome is Outcome.PASSED
