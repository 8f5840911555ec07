"""The linear programme of a hypergraph, through PuLP (algorithms.md 1.6).

Owns rows, columns, objectives, and the way from a solver's numbers to a flow. Refuses to know where a
hypergraph comes from, how a solver is run (engines.py), and trees (hyperflow.py).

Numbers are solved in units of the fastest link and of each node's capacity, so that tolerances of a solver,
which are absolute, mean the same on slow and on fast networks.
"""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np
import pulp

from bellwire.planner.batch.engines import Solver, Told, engine
from bellwire.planner.batch.levels import Arc, Hypergraph, State
from bellwire.planner.batch.prices import Prices
from bellwire.planner.batch.refinement import Row, refined
from bellwire.planner.capacity import NoPlan
from bellwire.planner.topology import Pair

__all__ = ["Flow", "Objective", "Solver", "solve"]

Objective = Literal["total", "max_min"]

SATED: Final = 1e-9
"""A request has the rate that it wants when no more than this part of it is missing."""


@dataclass(frozen=True, slots=True)
class Flow:
    """The answer: how much of everything flows, in pairs per second.

    bound_hz: what no flow of the whole network exceeds; None: the optimum itself, inf: not worked out.
    prices: None where the solver does not tell.
    """

    links_hz: Mapping[Pair, float]
    arcs_hz: Mapping[Arc, float]  # rate at which each input is consumed; arcs without flow are absent
    delivered_hz: Mapping[str, Mapping[State, float]]
    optimum_hz: float  # sum of weighted rates, or the least rate per weight
    bound_hz: float | None = None
    prices: Prices | None = None


def solve(
    graph: Hypergraph,
    weights: Mapping[str, float],
    wanted_hz: Mapping[str, float | None],
    objective: Objective = "total",
    solver: Solver = "highs",
    told: Told | None = None,
) -> Flow:
    """The best flow: the greatest sum of weighted rates, or the greatest least rate per weight (max_min).

    Under max_min every request gets its weight's part of the same rate. One that wants less, as wanted_hz
    says, gets what it wants, and the others share the rest. Requests that no state serves get nothing and
    do not count.

    Raises:
        NoPlan: there is no limit to the rate.
        ConfigError: the solver is not installed.
    """
    served = [name for name, states in graph.delivered.items() if states]
    if not served:
        return Flow({}, {}, {name: {} for name in graph.delivered}, 0.0)
    say = told or (lambda _: None)
    sated: set[str] = set()
    while True:
        say("model")
        model = _Model(graph, weights, wanted_hz, objective, frozenset(sated))
        flow = model.solved(solver, say)
        if objective == "total":
            return flow
        more = {
            name
            for name in served
            if (wanted := wanted_hz.get(name)) is not None
            and sum(flow.delivered_hz[name].values()) >= wanted * (1.0 - SATED)
        } - sated
        sated |= more
        if not more or len(sated) == len(served):
            return flow


class _Model:
    """The PuLP problem of a hypergraph. sated: requests that get just what they want (max_min)."""

    def __init__(
        self,
        graph: Hypergraph,
        weights: Mapping[str, float],
        wanted_hz: Mapping[str, float | None],
        objective: Objective,
        sated: frozenset[str],
    ) -> None:
        self.graph, self.weights, self.wanted_hz, self.objective = graph, weights, wanted_hz, objective
        self.sated = sated
        self.unit_hz = _unit_hz(graph)
        self.problem = pulp.LpProblem("levels", pulp.LpMaximize)
        column = self.problem.add_variable
        self.links = {
            pair: column(f"g{index}", 0.0, self._in_units(graph.capacities_hz[pair]))
            for index, pair in enumerate(graph.links)
        }
        self.arcs = [column(f"s{index}", 0.0) for index in range(len(graph.arcs))]
        self.delivered = {
            (name, state): column(f"z{index}", 0.0)
            for index, (name, state) in enumerate(
                (name, state) for name, states in graph.delivered.items() for state in states
            )
        }
        balance, attempts = self._balance(), self._attempts()
        self.states, self.nodes = list(balance), list(attempts)  # of the first rows, in this order
        rows = [_row(terms, pulp.LpConstraintGE, 0.0) for terms in balance.values()]
        rows += [_row(terms, pulp.LpConstraintLE, 1.0) for terms in attempts.values()]
        self.gain: dict[Any, float] = {}
        least = column("t", 0.0)
        heaviest = max(weights[name] for name in graph.delivered)
        for name, states in graph.delivered.items():
            own = {self.delivered[name, state]: 1.0 for state in states}
            weight, limit_hz = weights[name] / heaviest, wanted_hz.get(name)
            if not own:
                continue
            if limit_hz is not None:
                sense = pulp.LpConstraintEQ if name in sated else pulp.LpConstraintLE
                rows.append(_row(own, sense, limit_hz / self.unit_hz))
            if objective == "total":
                self.gain.update(dict.fromkeys(own, weight))
            elif name not in sated:
                rows.append(_row({**own, least: -weight}, pulp.LpConstraintEQ, 0.0))
                self.gain[least] = 1.0
        self.problem.setObjective(pulp.LpAffineExpression(self.gain))
        for index, row in enumerate(rows):
            self.problem.addConstraint(row, f"r{index}")

    def _in_units(self, rate_hz: float) -> float | None:
        return None if rate_hz == np.inf else rate_hz / self.unit_hz

    def _balance(self) -> dict[State, dict[Any, float]]:
        """What is made of each state, less what is used."""
        graph = self.graph
        balance: dict[State, dict[Any, float]] = defaultdict(dict)
        for pair, variable in self.links.items():
            balance[graph.generated[pair]][variable] = 1.0
        for arc, variable in zip(graph.arcs, self.arcs, strict=True):
            one, other, product, gain, _ = arc
            balance[product][variable] = gain
            balance[one][variable] = -1.0
            if other is not None:
                balance[other][variable] = -2.0 if one == other else -1.0
        for (_, state), variable in self.delivered.items():
            balance[state][variable] = -1.0
        return balance

    def _attempts(self) -> dict[str, dict[Any, float]]:
        """The part of its attempts that each node spends."""
        spent: dict[str, dict[Any, float]] = defaultdict(dict)
        for pair, variable in self.links.items():
            for name in pair:
                attempts_hz = self.graph.attempts_hz[name]
                if attempts_hz < np.inf:
                    q = self.graph.links[pair].success_probability
                    spent[name][variable] = self.unit_hz / (q * attempts_hz)
        return spent

    def solved(self, solver: Solver, told: Told) -> Flow:
        """The flow of the optimum. Raises NoPlan when there is none."""
        status = self.problem.solve(engine(solver, told))
        if status != pulp.LpStatusOptimal:
            raise NoPlan(
                f"the linear programme ended as {pulp.LpStatus[status].lower()}: give each link a capacity, "
                "or each node a limit of attempts, so that rates have a limit"
            )
        if solver == "cbc":
            self._refine()
        arcs_hz = {
            arc: rate_hz
            for arc, variable in zip(self.graph.arcs, self.arcs, strict=True)
            if (rate_hz := self._hz(variable)) > 0.0
        }
        delivered_hz: dict[str, dict[State, float]] = {name: {} for name in self.graph.delivered}
        for (name, state), variable in self.delivered.items():
            delivered_hz[name][state] = self._hz(variable)
        rates_hz = {name: sum(states.values()) for name, states in delivered_hz.items() if states}
        if self.objective == "total":
            optimum_hz = sum(self.weights[name] * rate_hz for name, rate_hz in rates_hz.items())
        else:
            optimum_hz = min(rate_hz / self.weights[name] for name, rate_hz in rates_hz.items())
        links_hz = {pair: self._hz(variable) for pair, variable in self.links.items()}
        prices = self._prices() if solver == "highs" else None
        return Flow(links_hz, arcs_hz, delivered_hz, optimum_hz, prices=prices)

    def _prices(self) -> Prices:
        """What HiGHS says a unit more of each row and bound would bring."""
        worths = [float(row.pi or 0.0) for row in self.problem.constraints()]
        states = dict(zip(self.states, worths, strict=False))
        attempts = zip(self.nodes, worths[len(self.states) :], strict=False)
        return Prices(
            optimum_hz=sum(part * self._hz(variable) for variable, part in self.gain.items()),
            attempts_hz={name: max(0.0, worth) * self.unit_hz for name, worth in attempts},
            links={pair: max(0.0, float(variable.dj or 0.0)) for pair, variable in self.links.items()},
            delivered={
                name: max((-states[state] for state in own), default=0.0)
                for name, own in self.graph.delivered.items()
            },
            sated=self.sated,
        )

    def _hz(self, variable: Any) -> float:
        return max(0.0, float(variable.varValue or 0.0)) * self.unit_hz

    def _refine(self) -> None:
        """CBC's answer to all digits."""
        columns = self.problem.variables()
        place = {variable: index for index, variable in enumerate(columns)}
        rows = [
            Row(tuple(place[variable] for variable in row), tuple(row.values()), -float(row.constant))
            for row in self.problem.constraints()
        ]
        values = np.array([variable.varValue or 0.0 for variable in columns])
        uppers = np.array([np.inf if variable.upBound is None else variable.upBound for variable in columns])
        for variable, value in zip(columns, refined(values, uppers, rows), strict=True):
            variable.varValue = float(value)


def _unit_hz(graph: Hypergraph) -> float:
    """Rate of the fastest link, or 1 where none has a limit."""
    rates = [
        min(
            graph.capacities_hz[pair],
            link.success_probability * min(graph.attempts_hz[name] for name in pair),
        )
        for pair, link in graph.links.items()
    ]
    return max((rate for rate in rates if rate < np.inf), default=1.0)


def _row(terms: dict[Any, float], sense: int, bound: float) -> Any:
    return pulp.LpConstraint(pulp.LpAffineExpression(terms), sense, rhs=bound)
