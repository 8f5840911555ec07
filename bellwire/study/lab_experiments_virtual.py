"""Repetitions in virtual time: the machines of the live system, one request or one CREATE, and the World.

Owns a repetition as a pure function of its task, and the processes that carry out many. Refuses instruments:
in virtual time there are none.
"""

from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from dataclasses import replace
from functools import partial
from typing import Any, Final

import msgspec

from bellwire.core.effects import Report
from bellwire.core.events import LinkCreateSubmitted
from bellwire.core.ids import NodeId
from bellwire.core.link_words import LinkAnswer
from bellwire.core.plans import EntanglementRequest
from bellwire.core.settings import NetworkSettings
from bellwire.core.units import NS_PER_S
from bellwire.labs import lab_from_document
from bellwire.planner.plans import compute_plan
from bellwire.simulator_backend.host import VirtualHost
from bellwire.simulator_backend.world import PairTruth
from bellwire.study.lab_experiments import Planned, Row
from bellwire.study.lab_experiments_folding import CreateFolding, RequestFolding, create_of
from bellwire.study.lab_experiments_samples import row_of

AHEAD: Final = 2
"""Tasks handed out for each worker: one runs, one waits."""

SLICE_NS: Final = NS_PER_S // 4
"""So often a run looks whether it has its pairs."""

GRACE_NS: Final = NS_PER_S
"""A request that fails by its deadline says so a moment later."""

LAST_LOOK_NS: Final = NS_PER_S // 100

CREATE_ID: Final = 1


class VirtualTask(msgspec.Struct, frozen=True, kw_only=True):
    """One repetition. link: (id, source, partner, least fidelity) of one link by itself, None: all of it."""

    document: dict[str, Any]  # canonical, of the lab
    request: EntanglementRequest
    link: tuple[str, NodeId, NodeId, float | None] | None
    seed: int


def task_of(planned: Planned) -> VirtualTask:
    """What a process needs to carry it out."""
    target = planned.target
    return VirtualTask(
        document=planned.combination.lab.document,
        request=planned.measurement.request,
        link=None
        if target.link is None
        else (target.link, target.source, target.partner, target.fidelity_min),
        seed=planned.measurement.seed,
    )


def perform_virtual(task: VirtualTask) -> Row:
    """The row of a repetition: equal tasks have equal rows."""
    lab = lab_from_document(task.document)
    request = task.request
    limit_ns = time_limit_ns(request, lab.network)
    lab = replace(lab, requests=(request,) if task.link is None else ())
    host = VirtualHost(lab, task.seed, partial(compute_plan, lab.network))
    if task.link is None:
        folding: RequestFolding | CreateFolding = RequestFolding(
            request, 0, correct_frames=lab.network.correct_frames
        )
    else:
        name, source, partner, fidelity_min = task.link
        asked = create_of(request, lab.network.links[name], CREATE_ID, partner, fidelity_min, limit_ns)
        folding = CreateFolding(asked, source, 0, by_clock=request.duration_ns is not None)
    _listen(host, folding)
    host.start()
    if isinstance(folding, CreateFolding):
        host.tell_at(0, folding.source, LinkCreateSubmitted(asked=folding.asked))
    now_ns = 0
    watched_ns = limit_ns if request.duration_ns is not None else limit_ns + GRACE_NS
    while not folding.ended and now_ns < watched_ns:
        now_ns = min(now_ns + SLICE_NS, watched_ns)
        host.run(now_ns)
    folding.give_up(now_ns, f"it has not ended within {limit_ns / NS_PER_S:g} s of virtual time")
    host.run(now_ns + LAST_LOOK_NS)  # what was just delivered is used up, which shows it
    return row_of(folding.pairs) | {"seed": task.seed}


def time_limit_ns(request: EntanglementRequest, network: NetworkSettings) -> int:
    """When the system itself ends a request that is not served."""
    if request.duration_ns is not None:
        return request.duration_ns
    return request.deadline_ns or network.timers.request_ns


def _listen(host: VirtualHost, folding: RequestFolding | CreateFolding) -> None:
    def reported(now_ns: int, node: NodeId, report: Report) -> None:
        if isinstance(folding, RequestFolding) and node == folding.source:
            folding.take(now_ns, report.name, report.request, report.fields)

    def answered(now_ns: int, node: NodeId, answer: LinkAnswer) -> None:
        if isinstance(folding, CreateFolding) and node == folding.source:
            folding.take(now_ns, answer)

    def witnessed(_now_ns: int, _node: NodeId, _slot: int, truth: PairTruth) -> None:
        one, other = truth.ends
        folding.truths.show(one, other, truth.frame, truth.fidelity)

    host.reports.append(reported)
    host.answers.append(answered)
    host.witnesses.append(witnessed)


# ---- many


Keyed = tuple[str, VirtualTask]


def perform_keyed(keyed: Keyed) -> tuple[str, Row]:
    """The row of a task beside its name."""
    key, task = keyed
    return key, perform_virtual(task)


def perform_all(tasks: Sequence[Keyed], workers: int, take: Callable[[str, Row], None]) -> None:
    """Carry out all, in `workers` processes; rows are handed over as they come."""
    with closing(_results(tasks, workers)) as coming:
        for key, row in coming:
            take(key, row)


def _results(tasks: Sequence[Keyed], workers: int) -> Generator[tuple[str, Row], None, None]:
    if workers == 1 or len(tasks) == 1:
        for keyed in tasks:
            yield perform_keyed(keyed)
        return
    from joblib import Parallel, delayed

    make: Any = Parallel  # annotated with the types of its defaults
    parallel = make(
        n_jobs=workers, return_as="generator_unordered", batch_size=1, pre_dispatch=AHEAD * workers
    )
    with closing(parallel(delayed(perform_keyed)(keyed) for keyed in tasks)) as found:
        yield from found
