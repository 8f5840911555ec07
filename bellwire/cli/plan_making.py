"""From the options of `bellwire plan` to a plan.

Owns the defaults that depend on what is wanted, and the calls. Refuses files of networks and output.
"""

from typing import TYPE_CHECKING, assert_never, cast

from bellwire.cli.plan_methods import check_method
from bellwire.cli.plan_progress import Told, worked
from bellwire.cli.plan_wishes import Search, Wishes
from bellwire.core.errors import ConfigError
from bellwire.core.registry import lookup

if TYPE_CHECKING:
    from bellwire.planner.assessment import PairPlan
    from bellwire.planner.batch.batch_plan import BatchPlan
    from bellwire.planner.reports.any_plan import Plan
    from bellwire.planner.reports.consumption_order import ConsumptionOrder
    from bellwire.planner.requests import Limits, Options
    from bellwire.planner.structures import Scheme, Waiting
    from bellwire.planner.topology import Topology


def options_of(search: Search, topology: "Topology") -> "Options":
    """How methods are to search, checked against the network.

    Raises:
        ConfigError: a value outside its range, or an unknown name.
    """
    from bellwire.planner.requests import Options

    options = Options(
        waiting=cast("Waiting", search.waiting),  # checked by name
        throttle=search.throttle,
        scheme=cast("Scheme", search.scheme),  # checked by name
        rounds=search.rounds,
        route=search.route,
        avoid=frozenset(search.avoid),
    )
    options.check(topology)
    return options


def make_plan(topology: "Topology", wishes: Wishes, search: Search, options: "Options") -> "Plan":
    """The plan that is wanted.

    Raises:
        ConfigError: there is none, or something that was typed is wrong.
    """
    match wishes.kind:
        case "pair":
            return _pair(topology, wishes, search, options)
        case "batch":
            return _batch(topology, wishes, search, options)
        case "ghz":
            from bellwire.planner.capacity import Residual
            from bellwire.planner.multipartite.methods import DEFAULT_GHZ_METHOD, plan_ghz

            method = check_method(search.method or DEFAULT_GHZ_METHOD, "ghz")
            members = wishes.ghz or ()
            return worked(
                f"planning GHZ states of {len(members)} nodes",
                lambda _: plan_ghz(Residual(topology), "ghz", members, method, options, limits_of(search)),
            )
        case "graph":
            from bellwire.labs.plan_requests import read_target
            from bellwire.planner.capacity import Residual
            from bellwire.planner.multipartite.methods import plan_graph

            assert wishes.graph is not None
            target = read_target(wishes.graph, topology)
            chosen = None if search.method is None else check_method(search.method, "graph")
            return worked(
                f"planning graph states of {len(target.places)} vertices",
                lambda _: plan_graph(Residual(topology), "graph", target, chosen, options, limits_of(search)),
            )
        case "order":
            raise ConfigError("an order of consumption has batches, not one plan")
        case "store":
            raise ConfigError("pre-distribution has super-links, not one plan")
        case _:
            assert_never(wishes.kind)


def limits_of(search: Search) -> "Limits":
    """What every tree must keep."""
    from bellwire.planner.requests import Limits

    return Limits(age_s=search.max_age_s, leaves=search.max_leaves, fidelity=search.fidelity)


def _pair(topology: "Topology", wishes: Wishes, search: Search, options: "Options") -> "PairPlan":
    from bellwire.planner.batch.slowing import slowed
    from bellwire.planner.capacity import NoPlan, Residual
    from bellwire.planner.methods import DEFAULT_METHOD, plan_pair
    from bellwire.planner.requests import PairRequest

    source, destination = wishes.source or "", wishes.destination or ""
    method = check_method(search.method or (DEFAULT_METHOD if search.route is None else "route"), "pair")
    residual, limits = Residual(topology), limits_of(search)
    request = PairRequest(
        request=f"{source}-{destination}",
        source=source,
        destination=destination,
        limits=limits,
        rate_hz=search.rate_hz,
    )

    def work(_: Told) -> "PairPlan":
        found = plan_pair(residual, request, method, options)
        if search.rate_hz is None:
            return found
        if found.rate_hz < search.rate_hz * (1.0 - 1e-9):
            raise NoPlan(
                f"{source}-{destination}: {search.rate_hz:g} pairs/s are not reached: "
                f"at most {found.rate_hz:.4g} by method {method}"
            )
        return slowed(found, residual, 1.0 / search.rate_hz, limits)

    return worked(f"planning {source} to {destination}", work)


def _batch(topology: "Topology", wishes: Wishes, search: Search, options: "Options") -> "BatchPlan":
    from bellwire.labs.plan_requests import read_requests
    from bellwire.planner.batch.admission_values import AdmissionRule
    from bellwire.planner.batch.beside import plan_beside
    from bellwire.planner.batch.methods import DEFAULT_BATCH_METHOD, BatchChoice, plan_many
    from bellwire.planner.capacity import Residual
    from bellwire.planner.methods import DEFAULT_METHOD

    assert wishes.requests is not None
    requests = read_requests(wishes.requests, topology, limits_of(search))
    method = check_method(search.method or DEFAULT_BATCH_METHOD, "batch")
    single = check_method(search.single_method or DEFAULT_METHOD, "pair")
    if search.beside is not None:
        running = read_requests(search.beside, topology, limits_of(search))
        rule = AdmissionRule(
            replan_every_ns=0,
            tolerance=0.05 if search.give is None else search.give,
            method=single,
            batch_method=method,
            objective=search.objective,
            solver=search.solver or "highs",
            options=options,
        )
        return worked(
            f"planning {len(requests)} requests beside {len(running)}",
            lambda told: plan_beside(
                topology, running, requests, rule, allow_unserved=search.partly, told=told
            ),
            beside=search.solver != "cbc",
        )

    def work(told: Told) -> "BatchPlan":
        choice = BatchChoice(
            objective=search.objective,
            single_method=single,
            solver=search.solver or "highs",
            options=options,
            allow_unserved=search.partly,
            told=told,
        )
        return plan_many(Residual(topology), requests, method, choice)

    own_process = method == "levels" and search.solver == "cbc"  # its files are cleaned up here
    return worked(f"planning {len(requests)} requests", work, beside=not own_process)


def make_order(
    topology: "Topology", wishes: Wishes, search: Search, options: "Options"
) -> "ConsumptionOrder":
    """The batches of an order of consumption.

    Raises:
        ConfigError: a pair that cannot be made in time, or something that was typed is wrong.
    """
    from bellwire.labs.plan_requests import read_consumption
    from bellwire.planner.batch.batch_latency import planned_latency
    from bellwire.planner.batch.consumption import (
        Consumption,
        in_layers,
        in_partial_order,
        in_total_order,
    )
    from bellwire.planner.methods import DEFAULT_METHOD
    from bellwire.planner.reports.consumption_order import order_of
    from bellwire.planner.topology import pair_of

    assert wishes.consume is not None
    pairs = tuple(pair_of(a, b) for a, b in read_consumption(wishes.consume, topology))
    cuts = {"total": in_total_order, "partial": in_partial_order, "layers": in_layers}
    order = search.order or "total"
    cut = lookup("order", order, cuts)
    method = check_method(search.method or DEFAULT_METHOD, "pair")
    limits = limits_of(search)

    def work(told: Told) -> "ConsumptionOrder":
        latency_s = planned_latency(topology, pairs, method=method, options=options, limits=limits)

        def told_latency_s(batch: tuple[int, ...]) -> float:
            told(f"batch of {len(batch)} pairs")
            return latency_s(batch)

        consumption = Consumption(
            pairs=pairs,
            latency_s=told_latency_s,
            age_s=search.max_age_s,
            execution_s=search.execution_s or 0.0,
        )
        return order_of(order, consumption, cut(consumption))

    return worked(f"cutting an order of {len(pairs)} pairs", work)
