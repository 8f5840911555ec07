"""The linear programme of a hypergraph, and the solvers that answer it, through PuLP (algorithms.md 1.6).

Owns rows, columns, objectives and the two solvers, HiGHS (default) and CBC. Refuses to know where a
hypergraph comes from, and trees.
"""

from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

import highspy
import numpy as np
import pulp

from bellwire.planner.batch.levels import Arc, Hypergraph, State
from bellwire.planner.capacity import NoPlan
from bellwire.planner.topology import Pair

Objective = Literal["total", "max_min"]
Solver = Literal["highs", "cbc"]

THRIFT: Final = 1e-7
"""Price of one swap or link pair beside a delivered pair: among equal optima the one with least use wins, and
flows in circles, which use pairs for nothing, never pay."""


@dataclass(frozen=True, slots=True)
class Flow:
    """The answer: how much of everything flows, in pairs per second."""

    links_hz: dict[Pair, float]
    arcs_hz: dict[Arc, float]  # rate at which each of the two inputs is consumed
    delivered_hz: dict[str, dict[State, float]]
    optimum_hz: float  # sum of weighted rates, or the least rate per weight


def solve(
    graph: Hypergraph,
    weights: Mapping[str, float],
    wanted_hz: Mapping[str, float | None],
    objective: Objective = "total",
    solver: Solver = "highs",
    on_built: Callable[[], None] | None = None,
) -> Flow:
    """The best flow. on_built: told when the model has been handed over and the solver is about to run.

    Raises:
        NoPlan: the solver gives up (never seen; zero flow is always possible).
    """
    model = _Model(graph, weights, wanted_hz, objective)
    status = model.problem.solve(_solver(solver, on_built))
    if status != pulp.LpStatusOptimal:
        raise NoPlan(f"the linear programme ended as {pulp.LpStatus[status]}")
    return model.flow()


class _Model:
    """The PuLP problem of a hypergraph."""

    def __init__(
        self,
        graph: Hypergraph,
        weights: Mapping[str, float],
        wanted_hz: Mapping[str, float | None],
        objective: Objective,
    ) -> None:
        self.graph = graph
        self.weights, self.objective = weights, objective
        count = len(graph.links) + len(graph.arcs)
        width = len(str(count))
        self.problem = pulp.LpProblem("levels", pulp.LpMaximize)
        column = self.problem.add_variable
        links = list(graph.links)
        self.links = {
            pair: column(f"g{index:0{width}}", 0.0, _finite(graph.capacities_hz[pair]))
            for index, pair in enumerate(links)
        }
        self.arcs = [column(f"s{index:0{width}}", 0.0) for index in range(len(graph.arcs))]
        self.delivered = {
            (name, state): column(f"z{index:0{width}}", 0.0)
            for index, (name, state) in enumerate(
                (name, state) for name, states in graph.delivered.items() for state in states
            )
        }
        price: dict[Any, float] = dict.fromkeys((*self.links.values(), *self.arcs), -THRIFT)
        balance: dict[State, dict[Any, float]] = defaultdict(dict)
        for pair, variable in self.links.items():
            balance[graph.generated[pair]][variable] = 1.0
        for arc, variable in zip(graph.arcs, self.arcs, strict=True):
            balance[arc.product][variable] = arc.gain
            balance[arc.one][variable] = -1.0
            balance[arc.other][variable] = -2.0 if arc.one == arc.other else -1.0
        for (_, state), variable in self.delivered.items():
            balance[state][variable] = -1.0
        rows = [_row(terms, pulp.LpConstraintGE, 0.0) for terms in balance.values()]
        rows += [
            _row(terms, pulp.LpConstraintLE, graph.attempts_hz[name])
            for name, terms in self._attempts().items()
            if graph.attempts_hz[name] < np.inf
        ]
        least = column("t", 0.0)
        for name, states in graph.delivered.items():
            own = {self.delivered[name, state]: 1.0 for state in states}
            if not own:
                continue
            if objective == "max_min":
                rows.append(_row({**own, least: -weights[name]}, pulp.LpConstraintGE, 0.0))
            else:
                price.update(dict.fromkeys(own, weights[name]))
            limit_hz = wanted_hz.get(name)
            if limit_hz is not None:
                rows.append(_row(own, pulp.LpConstraintLE, limit_hz))
        if objective == "max_min":
            price[least] = 1.0
        self.problem.setObjective(pulp.LpAffineExpression(price))
        for index, row in enumerate(rows):
            self.problem.addConstraint(row, f"r{index}")
        self._least = least

    def _attempts(self) -> dict[str, dict[Any, float]]:
        spent: dict[str, dict[Any, float]] = defaultdict(dict)
        for pair, variable in self.links.items():
            for name in pair:
                spent[name][variable] = 1.0 / self.graph.links[pair].success_probability
        return spent

    def flow(self) -> Flow:
        """The flow of a solved problem; values that are zero but for rounding are zero."""
        delivered: dict[str, dict[State, float]] = {name: {} for name in self.graph.delivered}
        for (name, state), variable in self.delivered.items():
            delivered[name][state] = max(0.0, variable.varValue or 0.0)
        rates = {name: sum(states.values()) for name, states in delivered.items()}
        if self.objective == "total":
            optimum_hz = sum(self.weights[name] * rate for name, rate in rates.items())
        else:
            optimum_hz = min((rate / self.weights[name] for name, rate in rates.items()), default=0.0)
        return Flow(
            links_hz={pair: max(0.0, variable.varValue or 0.0) for pair, variable in self.links.items()},
            arcs_hz={
                arc: rate_hz
                for arc, variable in zip(self.graph.arcs, self.arcs, strict=True)
                if (rate_hz := float(variable.varValue or 0.0)) > 0.0
            },
            delivered_hz=delivered,
            optimum_hz=optimum_hz,
        )


def _finite(limit: float) -> float | None:
    return None if limit == np.inf else limit


def _row(terms: dict[Any, float], sense: int, bound: float) -> Any:
    return pulp.LpConstraint(pulp.LpAffineExpression(terms), sense, rhs=bound)


def _solver(name: Solver, on_built: Callable[[], None] | None) -> Any:
    if name == "cbc":  # PuLP writes a file and starts a process: building and solving cannot be told apart
        return pulp.COIN_CMD(path=pulp.PULP_CBC_CMD.pulp_cbc_path, msg=False, threads=1)
    return _Highs(msg=False, on_built=on_built, solver="ipm", threads=1)


class _Highs(pulp.HiGHS):
    """PuLP's HiGHS with the model handed over as one sparse matrix instead of row by row."""

    def __init__(self, on_built: Callable[[], None] | None = None, **options: Any) -> None:
        super().__init__(**options)
        self._on_built = on_built

    def buildSolverModel(self, lp: Any) -> None:  # noqa: N802 # the name is PuLP's
        columns, rows = lp.variables(), list(lp.constraints())
        for index, variable in enumerate(columns):
            variable.index = index
        starts, indices, values = [0], [], []
        for index, row in enumerate(rows):
            row.index = index
            for variable, value in row.items():
                indices.append(variable.index)
                values.append(value)
            starts.append(len(indices))
        model = highspy.HighsLp()
        model.num_col_, model.num_row_ = len(columns), len(rows)
        sign = -1.0 if lp.sense == pulp.LpMaximize else 1.0
        model.col_cost_ = np.array([sign * lp.objective.get(variable, 0.0) for variable in columns])
        model.col_lower_ = np.array([_bound(variable.lowBound, -highspy.kHighsInf) for variable in columns])
        model.col_upper_ = np.array([_bound(variable.upBound, highspy.kHighsInf) for variable in columns])
        model.row_lower_ = np.array([_bound(row.getLb(), -highspy.kHighsInf) for row in rows])
        model.row_upper_ = np.array([_bound(row.getUb(), highspy.kHighsInf) for row in rows])
        model.a_matrix_.format_ = highspy.MatrixFormat.kRowwise
        model.a_matrix_.start_ = np.array(starts)
        model.a_matrix_.index_ = np.array(indices)
        model.a_matrix_.value_ = np.array(values)
        lp.solverModel.passModel(model)

    def callSolver(self, lp: Any) -> None:  # noqa: N802 # the name is PuLP's
        if self._on_built is not None:
            self._on_built()
        super().callSolver(lp)


def _bound(value: float | None, otherwise: float) -> float:
    return otherwise if value is None else value
