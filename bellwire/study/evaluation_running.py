"""Many independent tasks on one processor, on all of one machine, or on a Dask cluster.

Owns the three ways and their equal behaviour: results are kept as they come, finished ones are not run
again, an interruption loses only what was running, and few tasks are handed out ahead. Refuses to know what a
task does.
"""

from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final, Protocol

from bellwire.core.errors import ConfigError
from bellwire.study.evaluation_jobs import Task, code_version, task_key
from bellwire.study.evaluation_parts import Parts
from bellwire.study.evaluation_runs import perform

Result = dict[str, Any]
Results = Generator[tuple[str, Result], None, None]
Keyed = tuple[str, Task]

AHEAD: Final = 2
"""Tasks handed out for each worker: one runs, one waits."""

CONNECT_S: Final = 20.0
"""A scheduler that does not answer for so long is not there."""


class Workers(Protocol):
    """Carries out tasks in any order."""

    def results(self, tasks: Sequence[Keyed]) -> Results:
        """The results as they come."""
        ...


class HereAlone:
    """In this process, one after the other."""

    def results(self, tasks: Sequence[Keyed]) -> Results:
        """The results in the order of the tasks."""
        for keyed in tasks:
            yield perform_keyed(keyed)


@dataclass(frozen=True, slots=True)
class OneMachine:
    """Several processes of this machine, by joblib. They are started anew when they have grown."""

    workers: int

    def results(self, tasks: Sequence[Keyed]) -> Results:
        """The results as they come."""
        from joblib import Parallel, delayed

        make: Any = Parallel  # annotated with the types of its defaults
        parallel = make(
            n_jobs=self.workers,
            return_as="generator_unordered",
            batch_size=1,
            pre_dispatch=AHEAD * self.workers,
        )
        with closing(parallel(delayed(perform_keyed)(keyed) for keyed in tasks)) as found:
            yield from found


class Cluster:
    """The workers of a Dask scheduler, on any number of machines."""

    def __init__(self, address: str) -> None:
        """address: such as tcp://10.0.0.1:8786.

        Raises:
            ConfigError: nobody answers there.
        """
        from distributed import Client

        connect: Any = Client  # without annotations in the library
        try:
            self._client: Any = connect(address, timeout=CONNECT_S, set_as_default=False)
        except (OSError, ValueError, TypeError) as problem:
            raise ConfigError(f"no Dask scheduler answers: {problem}", where=address) from None
        self._address = address

    def close(self) -> None:
        """Leave the cluster."""
        self._client.close()

    def results(self, tasks: Sequence[Keyed]) -> Results:
        """The results as they come.

        Raises:
            ConfigError: the cluster has no workers, or a worker has another version of the code.
        """
        from distributed import as_completed

        completed: Any = as_completed  # without annotations in the library
        versions: dict[str, str] = self._client.run(code_version)
        if not versions:
            raise ConfigError("this Dask scheduler has no workers", where=self._address)
        other = [worker for worker, version in versions.items() if version != code_version()]
        if other:
            raise ConfigError(
                f"{len(other)} of {len(versions)} workers run other code than this process, first "
                f"{other[0]}: install the same sources everywhere and start the workers again",
                where=self._address,
            )
        threads = sum(self._client.nthreads().values())
        waiting = iter(tasks)
        first = [self._submit(keyed) for keyed in islice(waiting, AHEAD * threads)]
        running = completed(first, loop=self._client.loop)
        for future in running:
            yield future.result()
            future.release()
            for keyed in islice(waiting, 1):
                running.add(self._submit(keyed))

    def _submit(self, keyed: Keyed) -> Any:
        return self._client.submit(perform_keyed, keyed, key=f"bellwire-{keyed[0]}", pure=True)


def workers_for(workers: int, dask: str | None) -> Workers:
    """The way that options ask for. dask: address of a scheduler, None: this machine."""
    if dask is not None:
        return Cluster(dask)
    return HereAlone() if workers == 1 else OneMachine(workers)


def perform_keyed(keyed: Keyed) -> tuple[str, Result]:
    """The result of a task beside its name."""
    key, task = keyed
    return key, perform(task)


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """What is told after each task."""

    done: int
    total: int
    kept: int  # were there from an earlier run


def run_all(
    tasks: Sequence[Task], workers: Workers, parts: Parts, told: Callable[[Progress], None]
) -> list[Result]:
    """The results of all tasks, in their order; equal tasks run once."""
    code = code_version()
    keys = [task_key(task, code) for task in tasks]
    found: dict[str, Result] = {}
    for key in keys:
        kept = parts.get(key)
        if kept is not None:
            found[key] = kept
    to_do = {key: task for key, task in zip(keys, tasks, strict=True) if key not in found}
    kept_before = len(found)
    total = kept_before + len(to_do)
    told(Progress(done=kept_before, total=total, kept=kept_before))
    if to_do:
        with closing(_kept(workers.results(list(to_do.items())), parts)) as coming:
            for key, result in coming:
                found[key] = result
                told(Progress(done=len(found), total=total, kept=kept_before))
    return [found[key] for key in keys]


def _kept(results: Results, parts: Parts) -> Results:
    for key, result in results:
        parts.put(key, result)
        yield key, result
