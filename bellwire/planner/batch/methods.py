"""The table of planning methods for several requests at once, and what each can be told.

Owns the table, its entry point and `plan_many`, the one way from a name to a batch. Refuses algorithms: each
has a file of its own, loaded when its name is used.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from importlib.metadata import entry_points
from typing import Final

from bellwire.core.registry import lookup
from bellwire.planner.batch.batch_plan import BatchPlan
from bellwire.planner.capacity import Residual
from bellwire.planner.methods import DEFAULT_METHOD
from bellwire.planner.requests import Options, PairRequest

Told = Callable[[str], None]
"""Told what is being done, as it begins: the request that gets a tree, or the part of a programme."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchChoice:
    """What a batch method can be told. Each reads what concerns it.

    objective: None for the method's own default. single_method: for trees of one pair, one name for all or
    by request. trees_max: by request, the most trees that it gets. allow_unserved: list requests that get
    nothing instead of refusing the batch.
    """

    objective: str | None = None
    single_method: str | Mapping[str, str] = DEFAULT_METHOD
    solver: str = "highs"
    options: Options = field(default_factory=Options)
    trees_max: Mapping[str, int] = field(default_factory=dict[str, int])
    allow_unserved: bool = False
    told: Told | None = None


BatchMethod = Callable[[Residual, Sequence[PairRequest], BatchChoice], BatchPlan]
"""(what is left of the network, requests, choice) -> plan of all. Raises NoPlan with the reason, ConfigError
for an unknown name. Takes nothing: the caller claims the use."""

ENTRY_POINTS: Final = "bellwire.planner_batch_methods"
"""Group of entry points by which other packages add methods."""

DEFAULT_BATCH_METHOD: Final = "iterative"

BATCH_METHODS: Final[dict[str, str]] = {
    "iterative": "bellwire.planner.batch.methods:iterative",
    "levels": "bellwire.planner.batch.methods:levels",
}
"""Methods of this package: name -> module:function."""


def known_batch_methods() -> dict[str, str]:
    """All methods, those of other packages included; the table here wins when names collide."""
    added = {point.name: point.value for point in entry_points(group=ENTRY_POINTS)}
    return added | BATCH_METHODS


def batch_method_of(name: str) -> BatchMethod:
    """The function of a method. Raises ConfigError with the nearest known name."""
    module, _, function = lookup("batch method", name, known_batch_methods()).partition(":")
    found: BatchMethod = getattr(import_module(module), function)
    return found


def plan_many(
    residual: Residual,
    requests: Sequence[PairRequest],
    method: str = DEFAULT_BATCH_METHOD,
    choice: BatchChoice | None = None,
) -> BatchPlan:
    """Plans for several requests on what is left of a network. Takes nothing: the caller claims the use.

    Raises:
        NoPlan: a request gets nothing (without `allow_unserved`), or a limit cannot be kept.
        ConfigError: an unknown node, method, objective or solver, or two requests with one id.
    """
    choice = BatchChoice() if choice is None else choice
    choice.options.check(residual.topology)
    return batch_method_of(method)(residual, requests, choice)


def iterative(residual: Residual, requests: Sequence[PairRequest], choice: BatchChoice) -> BatchPlan:
    """One tree after the other: objectives total (default), fair and priority (iterative.py)."""
    from bellwire.planner.batch.iterative import OBJECTIVES, plan_batch

    told = choice.told
    return plan_batch(
        residual,
        requests,
        lookup("objective of method iterative", choice.objective or "total", OBJECTIVES),
        choice.single_method,
        choice.options,
        trees_max=choice.trees_max,
        progress=None if told is None else lambda count, request: told(f"tree {count}, of {request}"),
        allow_unserved=choice.allow_unserved,
    )


def levels(residual: Residual, requests: Sequence[PairRequest], choice: BatchChoice) -> BatchPlan:
    """The optimum over all level-based structures: objectives total (default) and max_min (optimum.py).

    Trees come out of the programme; single_method and trees_max say nothing here.
    """
    from bellwire.planner.batch.optimum import plan_levels
    from bellwire.planner.batch.solvers import Objective, Solver

    objectives: dict[str, Objective] = {"total": "total", "max_min": "max_min"}
    solvers: dict[str, Solver] = {"highs": "highs", "cbc": "cbc"}
    return plan_levels(
        residual,
        requests,
        lookup("objective of method levels", choice.objective or "total", objectives),
        lookup("solver", choice.solver, solvers),
        choice.options,
        told=choice.told,
        allow_unserved=choice.allow_unserved,
    )
