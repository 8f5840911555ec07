"""The experiments of an evaluation: which settings, which policies, how many networks, how long.

Owns the grids of the paper's figures 6 to 9 and of the chains, in quick and in full effort. Refuses to run
them.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal

from bellwire.core.errors import ConfigError
from bellwire.core.registry import lookup
from bellwire.study.evaluation_jobs import ChainSetting, NetworkSetting, Setting, Stock, reporting_seeds

Axis = Literal["nodes", "density", "swap_success", "distance_km", "hops"]

AXIS_TITLES: Final[dict[Axis, str]] = {
    "nodes": "nodes",
    "density": "edge density",
    "swap_success": "swap success probability",
    "distance_km": "source to destination, km",
    "hops": "links of the chain",
}

DEFAULT: Final = NetworkSetting()
"""The paper's default network. The paper gives no distances: any two nodes, whose routes have one to six
links, mostly two or three."""

NEAR: Final = NetworkSetting(distance_km=(10.0, 30.0))
"""Of nodes so near (algorithms.md 0.2) a third of the routes is a single link, and hardly any has more than
two."""

DEFAULTS: Final = {"in the default network": DEFAULT, "between nodes 10 to 30 km apart": NEAR}
"""The networks on which most claims rest, in the words of a claim."""


@dataclass(frozen=True, slots=True)
class Point:
    """One place on an axis. value: where it is drawn; of a range its middle."""

    axis: Axis
    value: float
    setting: Setting


@dataclass(frozen=True, slots=True, kw_only=True)
class Experiment:
    """One figure. stocks: of pairs, where single pairs are asked for (figures 7 and 8); empty: rates."""

    name: str
    title: str
    points: tuple[Point, ...]
    policies: tuple[str, ...] = ()  # the only ones that take part; empty: all
    stocks: tuple[Stock, ...] = ()

    @property
    def axes(self) -> tuple[Axis, ...]:
        """Axes in the order of drawing."""
        return tuple(dict.fromkeys(point.axis for point in self.points))


@dataclass(frozen=True, slots=True, kw_only=True)
class Effort:
    """How much is simulated."""

    name: str
    networks: int  # seeds of each data point
    default_networks: int  # of the default setting, on which most claims rest
    routes: int  # of each network
    duration_s: float  # virtual time of each run
    deliveries: int  # simulated when a policy is tuned on a route
    thin: bool  # only the ends of each axis

    def networks_of(self, setting: Setting) -> int:
        """Seeds of a setting."""
        return max(self.networks, self.default_networks) if setting in DEFAULTS.values() else self.networks


QUICK: Final = Effort(
    name="quick", networks=5, default_networks=6, routes=1, duration_s=2.0, deliveries=1500, thin=True
)
FULL: Final = Effort(
    name="full", networks=10, default_networks=40, routes=2, duration_s=100.0, deliveries=8000, thin=False
)

NETWORKS_MAX: Final = 10_000


def with_overrides(effort: Effort, networks: int | None, duration_s: float | None) -> Effort:
    """The effort with another number of networks for every point, or another virtual time.

    Raises:
        ConfigError: a value out of its range.
    """
    if networks is not None and not 1 <= networks <= NETWORKS_MAX:
        raise ConfigError(f"{networks} networks are outside 1..{NETWORKS_MAX}")
    if duration_s is not None and not 0.1 <= duration_s <= 1e5:
        raise ConfigError(f"{duration_s:g} simulated seconds are outside 0.1..100000")
    if networks is not None:
        effort = replace(effort, networks=networks, default_networks=networks)
    return effort if duration_s is None else replace(effort, duration_s=duration_s)


NODES: Final = (50, 100, 150, 200)
DENSITIES: Final = (0.05, 0.1, 0.15, 0.2)
SWAP_SUCCESSES: Final = (0.2, 0.3, 0.4, 0.5, 0.6)
DISTANCES_KM: Final = ((5.0, 15.0), (15.0, 25.0), (25.0, 35.0), (35.0, 45.0))
FAR_KM: Final = (10.0, 70.0)

HOPS: Final = (3, 4, 5, 6, 7, 8)
QUICK_NODES: Final = (50, 100)
"""Two hundred nodes take seconds to start: too long for a first look."""

FIGURE_POLICIES: Final = ("fixed_tree", "score", "swap_asap", "centralised")
"""Those of the paper's figures 7 and 8."""


def _ends(values: Sequence[float], thin: bool) -> Sequence[float]:
    return (values[0], values[-1]) if thin else values


def _network_points(effort: Effort) -> Iterator[Point]:
    for nodes in QUICK_NODES if effort.thin else NODES:
        yield Point("nodes", nodes, NetworkSetting(nodes=nodes))
    for density in _ends(DENSITIES, effort.thin):
        yield Point("density", density, NetworkSetting(density=density))
    for swap_success in _ends(SWAP_SUCCESSES, effort.thin):
        yield Point("swap_success", swap_success, NetworkSetting(swap_success=swap_success))
    for low_km, high_km in (DISTANCES_KM[0], DISTANCES_KM[-1]) if effort.thin else DISTANCES_KM:
        middle_km = (low_km + high_km) / 2.0
        yield Point("distance_km", middle_km, NetworkSetting(distance_km=(low_km, high_km)))


def _stored_points(effort: Effort) -> Iterator[Point]:
    for nodes in QUICK_NODES if effort.thin else NODES:
        yield Point("nodes", nodes, NetworkSetting(nodes=nodes))
    for swap_success in _ends(SWAP_SUCCESSES, effort.thin):
        yield Point("swap_success", swap_success, NetworkSetting(swap_success=swap_success))


def _default(effort: Effort) -> Experiment:
    return Experiment(
        name="default",
        title="Rates on the default network",
        points=(Point("nodes", DEFAULT.nodes, DEFAULT),),
    )


def _near(effort: Effort) -> Experiment:
    return Experiment(
        name="near",
        title="Rates between nodes 10 to 30 km apart",
        points=(Point("distance_km", 20.0, NEAR),),
    )


def _far(effort: Effort) -> Experiment:
    low_km, high_km = FAR_KM
    return Experiment(
        name="far",
        title="Rates between nodes 10 to 70 km apart",
        points=(Point("distance_km", (low_km + high_km) / 2.0, NetworkSetting(distance_km=FAR_KM)),),
    )


def _fig6(effort: Effort) -> Experiment:
    return Experiment(
        name="fig6",
        title="Rate without predistribution",
        points=tuple(_network_points(effort)),
    )


def _fig7(effort: Effort) -> Experiment:
    return Experiment(
        name="fig7",
        title="Latency of single pairs with a one-time batch in store",
        points=tuple(_stored_points(effort)),
        policies=FIGURE_POLICIES,
        stocks=("one_time", "none"),
    )


def _fig8(effort: Effort) -> Experiment:
    return Experiment(
        name="fig8",
        title="Latency of single pairs with stores that are filled up again",
        points=tuple(_stored_points(effort)),
        policies=FIGURE_POLICIES,
        stocks=("continuous", "one_time", "none"),
    )


def _predistribution(effort: Effort) -> Experiment:
    """The default network of figures 7 and 8 alone, on which their claims rest."""
    return Experiment(
        name="predistribution",
        title="Latency of single pairs on the default network",
        points=(Point("nodes", DEFAULT.nodes, DEFAULT),),
        policies=FIGURE_POLICIES,
        stocks=("continuous", "one_time", "none"),
    )


def _fig9(effort: Effort) -> Experiment:
    return Experiment(name="fig9", title="Fidelity of delivered pairs", points=tuple(_network_points(effort)))


def _chains(effort: Effort) -> Experiment:
    hops = (HOPS[0], 6) if effort.thin else HOPS
    return Experiment(
        name="chains",
        title="Rate over chains of random links, 5 to 25 km",
        points=tuple(Point("hops", count, ChainSetting(hops=count)) for count in hops),
    )


EXPERIMENTS: Final = {
    "default": _default,
    "near": _near,
    "far": _far,
    "fig6": _fig6,
    "fig7": _fig7,
    "fig8": _fig8,
    "predistribution": _predistribution,
    "fig9": _fig9,
    "chains": _chains,
}
"""Experiments by name, each made for an effort."""

NAMES: Final = (*EXPERIMENTS, "all")


def experiments_named(name: str, effort: Effort) -> tuple[Experiment, ...]:
    """One experiment, or all.

    Raises:
        ConfigError: an unknown name.
    """
    if name == "all":
        return tuple(make(effort) for make in EXPERIMENTS.values())
    return (lookup("experiment", name, {**EXPERIMENTS, "all": _fig6})(effort),)


def places(experiments: Sequence[Experiment], effort: Effort) -> Iterator[tuple[Setting, int, int]]:
    """Every setting with its seeds and routes, each once."""
    settings = dict.fromkeys(point.setting for one in experiments for point in one.points)
    for setting in settings:
        for seed in reporting_seeds(effort.networks_of(setting)):
            for route_index in range(1 if isinstance(setting, ChainSetting) else effort.routes):
                yield setting, seed, route_index
