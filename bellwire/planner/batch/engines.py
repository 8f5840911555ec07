"""The two programs that solve linear programmes, as PuLP knows them: HiGHS (default) and CBC.

Owns the hand-over of a model, and the two moments that a caller may want to know: a program is about to run,
and it has just returned. Refuses models. Neither prints, uses a second thread, or leaves a file behind.
"""

from collections.abc import Callable, Sequence
from tempfile import TemporaryDirectory
from typing import Any, Final, Literal, Protocol

import highspy
import numpy as np
import pulp

from bellwire.core.errors import ConfigError

Solver = Literal["highs", "cbc"]

Moment = Literal["model", "solver", "answer"]
Told = Callable[[Moment], None]
"""Told when a part begins: a model is built, the program runs, it has returned and its answer is read."""

FEASIBILITY: Final = 1e-9
"""Tolerance of rows, bounds and reduced costs, in the units of a model whose numbers are near 1."""


OPTIONS: Final[dict[str, Any]] = {
    "output_flag": False,
    "threads": 1,
    "solver": "ipm",
    "run_crossover": "on",
    "primal_feasibility_tolerance": FEASIBILITY,
    "dual_feasibility_tolerance": FEASIBILITY,
}
"""Of HiGHS."""

STATUS: Final = {
    highspy.HighsModelStatus.kOptimal: pulp.LpStatusOptimal,
    highspy.HighsModelStatus.kInfeasible: pulp.LpStatusInfeasible,
    highspy.HighsModelStatus.kUnbounded: pulp.LpStatusUnbounded,
    highspy.HighsModelStatus.kUnboundedOrInfeasible: pulp.LpStatusUnbounded,  # zero flow is always feasible
}
"""How a run of HiGHS may end, in PuLP's words."""


class Engine(Protocol):
    """What PuLP asks of a solver."""

    def actualSolve(self, lp: Any) -> int:  # noqa: N802 # the name is PuLP's
        """Solve a PuLP problem; the values go to its variables, the status to the problem."""
        ...


def engine(name: Solver, told: Told) -> Engine:
    """PuLP's solver of that name."""
    return _Highs(told) if name == "highs" else _Cbc(told)


class _Highs:
    """HiGHS in this process, the model handed over as one sparse matrix.

    Interior point with crossover: on these programmes several times faster than either simplex, and as exact,
    since crossover ends in a vertex.
    """

    def __init__(self, told: Told) -> None:
        self._told = told

    def actualSolve(self, lp: Any) -> int:  # noqa: N802 # the name is PuLP's
        """Solve a PuLP problem; the values go to its variables, the status to the problem."""
        columns, rows = lp.variables(), list(lp.constraints())
        made: Callable[[], Any] = highspy.Highs
        highs = made()
        for option, value in OPTIONS.items():
            highs.setOptionValue(option, value)
        highs.passModel(_sparse(lp, columns, rows))
        self._told("solver")
        highs.run()
        self._told("answer")
        status: int = STATUS.get(highs.getModelStatus(), pulp.LpStatusNotSolved)
        if status == pulp.LpStatusOptimal:
            found = highs.getSolution()
            sign = -1.0 if lp.sense == pulp.LpMaximize else 1.0
            for variable, value, dual in zip(columns, found.col_value, found.col_dual, strict=True):
                variable.varValue, variable.dj = value, sign * dual
            for row, dual in zip(rows, found.row_dual, strict=True):
                row.pi = sign * dual
        lp.assignStatus(status)
        return status


def _sparse(lp: Any, columns: Sequence[Any], rows: Sequence[Any]) -> highspy.HighsLp:
    """A PuLP problem as HiGHS keeps it, row by row."""
    place = {variable: index for index, variable in enumerate(columns)}
    starts, indices, values = [0], list[int](), list[float]()
    for row in rows:
        indices += [place[variable] for variable in row]
        values += row.values()
        starts.append(len(indices))
    sign = -1.0 if lp.sense == pulp.LpMaximize else 1.0
    costs = np.zeros(len(columns))
    for variable, value in lp.objective.items():
        costs[place[variable]] = sign * value
    infinite = highspy.kHighsInf
    model = highspy.HighsLp()
    model.num_col_, model.num_row_ = len(columns), len(rows)
    model.col_cost_ = costs
    model.col_lower_ = np.array([_bound(variable.lowBound, -infinite) for variable in columns])
    model.col_upper_ = np.array([_bound(variable.upBound, infinite) for variable in columns])
    model.row_lower_ = np.array([_bound(row.getLb(), -infinite) for row in rows])
    model.row_upper_ = np.array([_bound(row.getUb(), infinite) for row in rows])
    model.a_matrix_.format_ = highspy.MatrixFormat.kRowwise
    model.a_matrix_.start_ = np.array(starts)
    model.a_matrix_.index_ = np.array(indices)
    model.a_matrix_.value_ = np.array(values, dtype=np.float64)
    return model


def _bound(value: float | None, otherwise: float) -> float:
    return otherwise if value is None else value


class _Cbc:
    """CBC as a process of its own. PuLP writes the model to a file, starts it, and reads its answer."""

    def __init__(self, told: Told) -> None:
        self._told = told

    def actualSolve(self, lp: Any) -> int:  # noqa: N802 # the name is PuLP's
        """Solve a PuLP problem; the values go to its variables, the status to the problem.

        Raises:
            ConfigError: CBC is not installed.
        """
        program: Any = pulp.COIN_CMD(
            path=pulp.PULP_CBC_CMD.pulp_cbc_path,
            mip=False,
            msg=False,
            threads=1,
            options=[f"primalTolerance {FEASIBILITY}", f"dualTolerance {FEASIBILITY}"],
        )
        if not program.available():
            raise ConfigError(f'solver "cbc" is not installed at {program.path}: use "highs"')
        # PuLP asks for the pipe when the model is written and starts the process next; it reads the answer
        # as soon as the process has ended.
        program.get_pipe = self._first("solver", program.get_pipe)
        program.readsol_MPS = self._first("answer", program.readsol_MPS)
        # PuLP removes its files when all went well; an interrupted run must not leave them either.
        with TemporaryDirectory(prefix="bellwire-cbc-") as folder:
            program.tmpDir = folder
            status: int = program.actualSolve(lp)
        return status

    def _first(self, moment: Moment, act: Callable[..., Any]) -> Callable[..., Any]:
        def told_and_done(*arguments: Any, **named: Any) -> Any:
            self._told(moment)
            return act(*arguments, **named)

        return told_and_done
