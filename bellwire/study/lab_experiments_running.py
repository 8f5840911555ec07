"""Carrying out an experiment: in virtual time, on emulated labs that are brought up for it, or on a lab that
is up.

Owns the order of lab, instruments and repetitions, and what an interruption does: the first signal cancels
what is under way, instruments are restored, processes ended; later ones are told that this is being done.
Refuses what is kept (lab_experiments_kept.py) and what a repetition is.
"""

import asyncio
import signal
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import asdict, dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Any, Final

from bellwire.core.errors import ConfigError
from bellwire.labs import Lab, load_lab
from bellwire.runtime.runs import list_runs
from bellwire.runtime.store import AgentLock
from bellwire.runtime.supervisor import Supervisor
from bellwire.study.lab_experiments import Combination, LabExperiment, Planned, Row
from bellwire.study.lab_experiments_attached import AttachedLab, emulator_answers
from bellwire.study.lab_experiments_instruments import NOTE, HeldInstruments, Restored
from bellwire.study.lab_experiments_kept import ExperimentFolder
from bellwire.study.lab_experiments_snapshots import differences, snapshot
from bellwire.study.lab_experiments_virtual import perform_all, task_of

Tell = Callable[[str], None]
"""Called with a sentence for whoever watches."""

Done = Callable[[Planned, Row], None]
"""Called after each repetition."""

RUNS: Final = "runs"
NUMBERS: Final = (signal.SIGINT, signal.SIGTERM)


@dataclass(slots=True)
class Outcome:
    """How it ended."""

    interrupted: bool = False
    restored: list[Restored] = field(default_factory=list[Restored])
    changed: list[dict[str, Any]] = field(
        default_factory=list[dict[str, Any]]
    )  # of instruments, by snapshots


def run_experiment(
    experiment: LabExperiment,
    folder: ExperimentFolder,
    outcome: Outcome,
    *,
    state: Path,
    workers: int,
    tell: Tell,
    done: Done,
) -> None:
    """Measure what is left. `outcome` says how it ended, also when this raises.

    Raises:
        ConfigError: a lab that does not come up or is not up, an instrument that refuses or does not hold.
    """
    left = folder.left
    if experiment.mode == "virtual":
        try:
            tasks = [(key, task_of(one)) for key, one in left.items()]
            if tasks:
                perform_all(tasks, workers, lambda key, row: done(left[key], folder.put(key, row)))
        except KeyboardInterrupt:
            outcome.interrupted = True
        return
    sitting = Sitting(experiment, folder, outcome, state, tell, done)
    if left or (folder.path / NOTE).exists():  # a note: a killed sitting has left instruments as they were
        work = sitting.emulated() if experiment.mode == "emulated" else sitting.live()
        outcome.interrupted = asyncio.run(until_signal(work, tell))


async def until_signal(work: Coroutine[Any, Any, None], tell: Tell) -> bool:
    """Carry out; the first SIGINT or SIGTERM cancels it. Returns whether one came."""
    loop = asyncio.get_running_loop()
    task = loop.create_task(work)
    signalled = False

    def stop() -> None:
        nonlocal signalled
        if signalled:
            tell("already stopping: instruments are restored and processes ended first")
            return
        signalled = True
        task.cancel()

    for number in NUMBERS:
        loop.add_signal_handler(number, stop)
    try:
        await task
    except asyncio.CancelledError:
        if not signalled:
            raise
    finally:
        for number in NUMBERS:
            loop.remove_signal_handler(number)
    return signalled


class Sitting:
    """One run of the command on instruments."""

    def __init__(
        self,
        experiment: LabExperiment,
        folder: ExperimentFolder,
        outcome: Outcome,
        state: Path,
        tell: Tell,
        done: Done,
    ) -> None:
        self._experiment = experiment
        self._folder = folder
        self._outcome = outcome
        self._state = state.absolute()
        self._tell = tell
        self._done = done

    async def emulated(self) -> None:
        """Bring the lab of each combination up, measure, and take it down."""
        # One lab per state directory: two supervisors would take each other's processes for their own.
        lock = AgentLock(self._state / "agents", "supervisor")
        try:
            for _, group in groupby(self._folder.left.items(), key=lambda item: id(item[1].combination)):
                left = dict(group)
                await self._emulated(next(iter(left.values())).combination, left)
        finally:
            lock.release()

    async def _emulated(self, combination: Combination, left: Mapping[str, Planned]) -> None:
        # A lab that is started again must not draw the chances of its first start again.
        seed = self._experiment.seed + self._folder.kept_of(combination)
        lab = load_lab(self._folder.write_lab(combination, seed), live=True)
        async with Supervisor(lab, self._state, runs_dir=self._folder.path / RUNS) as supervisor:
            self._tell(f"{lab.name} is up, recording to {supervisor.run_dir.name}")
            for node, why in supervisor.degraded.items():
                self._tell(f"{node} is not ready: {why}")
            attached = AttachedLab(lab, self._state, supervisor.run_dir / "truth.jsonl")
            noted = self._folder.note_lab(
                values=list(combination.values), run=f"{RUNS}/{supervisor.run_dir.name}", seed=seed
            )
            await self._measure(attached, left, noted, None, seed)

    async def live(self) -> None:
        """Measure on the lab that is up."""
        lab = self._experiment.lab
        run_dir = run_of(lab, self._state)
        truth = None if run_dir is None or not emulator_answers(self._state) else run_dir / "truth.jsonl"
        attached = AttachedLab(lab, self._state, truth)
        busy: list[str] = []
        for node in lab.network.nodes:
            status = await attached.ask(node, "status")
            taken = sum(slot["state"] != "free" for slot in status["slots"])
            busy += [f"{taken} memories of {node}"] if taken else []
            if not status["ready"]:
                self._tell(f"{node} is not ready")
        if busy:
            self._tell(f"others use this lab meanwhile: {', '.join(busy)} are taken")
        noted = self._folder.note_lab(values=[], run=None if run_dir is None else str(run_dir), seed=None)
        await self._measure(attached, self._folder.left, noted, self._folder.path / NOTE, None)

    async def _measure(
        self,
        attached: AttachedLab,
        left: Mapping[str, Planned],
        noted: dict[str, Any],
        note: Path | None,
        seed: int | None,
    ) -> None:
        noted["instruments_at_start"] = start = await snapshot(attached.lab, self._state)
        held = HeldInstruments(self._state, self._experiment.device_scans, note)
        try:
            async with held:
                noted["values_before"] = held.before
                await self._repetitions(attached, held, left, seed)
        finally:
            self._outcome.restored += held.restored
            noted["restored"] = [asdict(one) for one in held.restored]
            noted["instruments_at_end"] = end = await snapshot(attached.lab, self._state)
            noted["differences"] = changed = differences(attached.lab, start, end)
            self._outcome.changed += changed

    async def _repetitions(
        self, attached: AttachedLab, held: HeldInstruments, left: Mapping[str, Planned], seed: int | None
    ) -> None:
        present: tuple[Any, ...] = ()
        for key, planned in left.items():
            if planned.setting != present:
                await held.set(planned.setting)
                await asyncio.sleep(self._experiment.settle_s)
                present = planned.setting
            found = await attached.measure(planned)
            lost = await held.lost(planned.setting)
            if lost is not None:
                raise ConfigError(f"{lost}; this repetition is not kept")
            self._done(planned, self._folder.put(key, found | {"seed": seed}))


def run_of(lab: Lab, state: Path) -> Path | None:
    """The run directory of the lab that is up; None where each agent was started by hand.

    Raises:
        ConfigError: what is up was started from another version of the lab file.
    """
    runs = state / RUNS
    if not (runs / "index.sqlite").exists():
        return None
    running = [one for one in list_runs(runs) if one["ended_ns"] is None and one["lab"] == lab.name]
    if not running:
        return None
    if running[-1]["digest"] != lab.digest:
        raise ConfigError(
            f"the lab that is up ({running[-1]['run']}) was started from another version of this file: "
            "give that version, or start the lab again",
            where=lab.path,
        )
    return runs / str(running[-1]["run"])
