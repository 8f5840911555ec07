"""A link of an open lab, to be awaited: its procedures, its calibrations, and procedures of one's own.

Owns the words `calibrate`, `calibrate_all` and `run`, which do what `bellwire calibrate` does: gates, leases,
restoring, records. Refuses measuring, which is the procedures'.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from bellwire import __version__
from bellwire.api.calibrations import Calibration, Calibrations, Plot
from bellwire.api.text_tables import span, text_table
from bellwire.calibration.access import Access
from bellwire.calibration.bench import LinkBench
from bellwire.calibration.order import Step, planned
from bellwire.calibration.procedure import Procedure, Progress
from bellwire.calibration.running import RunTerms, run_procedure
from bellwire.calibration.standing import Standing, standing
from bellwire.calibration.store import CalibrationStore
from bellwire.calibration.whole_link import Ended, calibrate_link
from bellwire.core.errors import ConfigError
from bellwire.core.registry import nearest

OnProgress = Callable[[Progress], None]
OnEnd = Callable[[Calibration], None]

PROCEDURE_PARTS: Final = ("name", "meaning", "needs", "valid_for_s", "obstacle", "instruments", "run")


class Procedures(Mapping[str, Procedure]):
    """The procedures by name, as a table of what this link can have."""

    def __init__(self, bench: LinkBench, table: Mapping[str, Procedure]) -> None:
        self._bench = bench
        self._table = dict(table)

    def __getitem__(self, name: str) -> Procedure:
        if name not in self._table:
            raise ConfigError(f'no procedure is called "{name}"{nearest(name, self._table)}')
        return self._table[name]

    def __iter__(self) -> Any:
        return iter(self._table)

    def __len__(self) -> int:
        return len(self._table)

    def __repr__(self) -> str:
        rows = [
            [one.name, one.meaning, ", ".join(one.needs) or "-", span(one.valid_for_s), self._obstacle(one)]
            for one in self._table.values()
        ]
        columns = ["procedure", "what", "needs", "holds for", "obstacle"]
        return text_table(columns, rows, title=f"Procedures of {self._bench.link}")

    def _obstacle(self, procedure: Procedure) -> str:
        return procedure.obstacle(self._bench) or "-"


class Link:
    """One link. `bench`: what stands around it, with its knobs; see bellwire.calibration.bench."""

    def __init__(self, bench: LinkBench, access: Access, store: CalibrationStore, operator: str) -> None:
        self.bench = bench
        self.store = store
        self._access = access
        self._operator = operator

    @property
    def name(self) -> str:
        """As the lab file has it."""
        return self.bench.link

    @property
    def procedures(self) -> Procedures:
        """All that are installed."""
        from bellwire.calibration.table import procedures

        return Procedures(self.bench, procedures())

    # -- running --------------------------------------------------------------------------------------------

    async def calibrate(
        self,
        procedure: str,
        *,
        override: Sequence[str] = (),
        seed: int = 1,
        on_progress: OnProgress = lambda _: None,
        **settings: float,
    ) -> Calibration:
        """Run one procedure, with settings of its own in place of the usual ones.

        What it found is applied only within its limits and after read-back; whatever ends it, the instruments
        go back to where they were. A run that failed is returned, not raised: look at `passed`. Raises
        ConfigError for an unknown procedure or setting, and for one that the link cannot have.
        """
        return await self.run(
            _with_settings(self.procedures[procedure], settings),
            override=override,
            seed=seed,
            on_progress=on_progress,
        )

    async def run(
        self,
        procedure: Procedure,
        *,
        override: Sequence[str] = (),
        seed: int = 1,
        on_progress: OnProgress = lambda _: None,
    ) -> Calibration:
        """Run a procedure of one's own as if it were of bellwire: behind its gates, under leases, with a
        record. Raises ConfigError when it is none, or has the name of another.
        """
        _check_form(procedure)
        table = dict(self.procedures)
        known = table.get(procedure.name)
        if known is not None and type(known) is not type(procedure):
            raise ConfigError(
                f'"{procedure.name}" is the name of a procedure of bellwire: a record of that name would be '
                "taken for its, so call yours otherwise"
            )
        table[procedure.name] = procedure
        terms = self._terms(table, override, seed, on_progress)
        record = await run_procedure(procedure, self.bench, self._access, self.store, table, terms)
        return Calibration(record, self.store)

    async def calibrate_all(
        self,
        only: Sequence[str] = (),
        *,
        due: bool = False,
        override: Sequence[str] = (),
        seed: int = 1,
        on_progress: OnProgress = lambda _: None,
        on_end: OnEnd = lambda _: None,
    ) -> Calibrations:
        """Every procedure that the link can have, or those of `only`, in the order in which they need each
        other. `due`: only those without a result in force. One that does not pass stops those that need it,
        and no others.
        """
        table = dict(self.procedures)
        steps = planned(self.bench, table, only)
        if due:
            steps = tuple(one for one in steps if self._is_due(one))
        terms = self._terms(table, override, seed, on_progress)

        def ended(one: Ended) -> None:
            if one.record is not None:
                on_end(Calibration(one.record, self.store))

        found = await calibrate_link(steps, self.bench, self._access, self.store, table, terms, ended)
        return Calibrations(
            f"Calibration of {self.name}",
            [Calibration(one.record, self.store) for one in found if one.record is not None],
            left_out={one.step.procedure.name: one.left_out for one in found if one.record is None},
            passed=all(one.passed for one in found),
        )

    def _is_due(self, step: Step) -> bool:
        return self.store.in_force(self.name, step.procedure.name, time.time_ns()) is None

    def _terms(
        self, table: Mapping[str, Procedure], override: Sequence[str], seed: int, on_progress: OnProgress
    ) -> RunTerms:
        overrides = (override,) if isinstance(override, str) else tuple(override)
        for name in overrides:
            if name not in table:
                raise ConfigError(f'no procedure is called "{name}"{nearest(name, table)}')
        return RunTerms(
            operator=self._operator,
            software=f"bellwire {__version__}",
            seed=seed,
            overrides=overrides,
            on_progress=on_progress,
        )

    # -- looking --------------------------------------------------------------------------------------------

    def calibrations(self) -> Calibrations:
        """The newest run of each procedure, whatever its outcome."""
        latest = [self.store.latest(self.name, one) for one in self.store.procedures(self.name)]
        return self._several(f"Calibrations of {self.name}", [one for one in latest if one is not None])

    def history(self, procedure: str) -> Calibrations:
        """Every run of one procedure, the newest first."""
        records = self.store.history(self.name, procedure)
        if not records:
            hint = nearest(procedure, self.store.procedures(self.name))
            raise ConfigError(f'{self.name} has had no calibration "{procedure}"{hint}')
        ends = {one.record_id for one in records}
        ended = [one for one in records if one.record_id.removesuffix(".begun") not in ends - {one.record_id}]
        return self._several(f"History of {procedure} of {self.name}", ended)

    def standing(self) -> Standing:
        """Whether the calibrations that the lab file requires allow the link to be used, and why not."""
        return standing(self.name, self.store.decisive(self.name), self.bench.required, time.time_ns())

    def plot(self, calibration: Calibration | str) -> Plot:
        """The picture of a run, or of the newest run of a procedure. Raises ConfigError when it has none."""
        if isinstance(calibration, Calibration):
            return calibration.plot
        return self.history(calibration)[0].plot

    def _several(self, title: str, records: Sequence[Any]) -> Calibrations:
        return Calibrations(title, [Calibration(one, self.store) for one in records])

    def __repr__(self) -> str:
        bench = self.bench
        receivers = ", ".join(f"{one.name} ({one.tagger})" for one in bench.receivers)
        return f"link {self.name}, {bench.kind}, received at {receivers}"


def _with_settings(procedure: Procedure, settings: Mapping[str, float]) -> Procedure:
    """The procedure with other values in its fields. Raises ConfigError with the nearest name."""
    if not settings:
        return procedure
    form: Any = procedure  # whether it is a dataclass is its own affair
    usual: dict[str, Any] = {}
    if dataclasses.is_dataclass(procedure):
        usual = {one.name: getattr(form, one.name) for one in dataclasses.fields(procedure)}
    known = [name for name, value in usual.items() if isinstance(value, int | float)]
    for name, value in settings.items():
        if name not in known:
            raise ConfigError(f'{procedure.name} has no setting "{name}"{nearest(name, known)}')
        if not value > 0 or (isinstance(usual[name], int) and value != int(value)):
            kind = "positive whole" if isinstance(usual[name], int) else "positive"
            raise ConfigError(f"{name} of {procedure.name} is a {kind} number, not {value!r}")
    changed: Procedure = replace(form, **settings)
    return changed


def _check_form(procedure: object) -> None:
    if isinstance(procedure, type):
        raise ConfigError(f"{procedure.__name__} is a class: give an instance of it, {procedure.__name__}()")
    missing = [name for name in PROCEDURE_PARTS if not hasattr(procedure, name)]
    if missing:
        raise ConfigError(
            f"{type(procedure).__name__} is no procedure: it has no {', '.join(missing)}; "
            "docs/python.md shows a whole one"
        )
