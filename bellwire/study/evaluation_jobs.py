"""The words of an evaluation: a setting, what is prepared for one of its routes, and one run of one policy.

Owns these values and their names (a digest of all that decides a result). Refuses to run them.
"""

import hashlib
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, Final, Literal

import msgspec

from bellwire.labs.paper_network import PaperNetwork
from bellwire.planner.topology import MEMORIES, SWAP_PROBABILITY

REPORTING_SEED_FIRST: Final = 1_000_000
"""Networks of reports have seeds from here on; free parameters are fixed on seeds below."""

TUNING_SEED_LAST: Final = REPORTING_SEED_FIRST - 1
"""Greatest seed of a network or model on which a free parameter may be fixed."""

WORLD_SEED_BITS: Final = 48

Stock = Literal["none", "one_time", "continuous"]
"""Pairs in store when requests come: none; stores filled once; stores that are filled up again."""


class NetworkSetting(msgspec.Struct, frozen=True, kw_only=True, tag="network"):
    """A random network of the paper; what it does not name has the paper's defaults.

    distance_km: least and greatest straight distance of source and destination, None: of any two nodes.
    """

    nodes: int = 100
    density: float = 0.1
    swap_success: float = SWAP_PROBABILITY
    distance_km: tuple[float, float] | None = None
    memories: int = MEMORIES

    def network(self, seed: int, route_index: int) -> PaperNetwork:
        """The network of a seed with the pair of nodes of that index."""
        return PaperNetwork(
            nodes=self.nodes,
            density=self.density,
            swap_success=self.swap_success,
            distance_km=self.distance_km,
            memories=self.memories,
            seed=seed,
            pairs_seed=seed * ROUTES_MAX + route_index,
        )


class ChainSetting(msgspec.Struct, frozen=True, kw_only=True, tag="chain"):
    """A chain of links whose lengths are drawn uniformly."""

    hops: int
    swap_success: float = SWAP_PROBABILITY
    length_km: tuple[float, float] = (5.0, 25.0)
    memories: int = MEMORIES


Setting = NetworkSetting | ChainSetting

ROUTES_MAX: Final = 1000
"""Routes looked at in one network."""


class Prepared(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a route before any policy runs on it."""

    route: tuple[str, ...]
    lengths_km: tuple[float, ...]  # of its links, in the order of the route
    strongest_tree: str | None = None  # of a search by simulation, None: not asked for
    tuned_mode: str | None = None  # generation mode that calibration chose, None: not asked for
    tuned_tree: str | None = None  # tree that goes with it, None: the planner's choice


class PrepareTask(msgspec.Struct, frozen=True, kw_only=True, tag="prepare"):
    """Draw a route, and search and calibrate for it what is asked for."""

    setting: Setting
    seed: int
    route_index: int
    strongest_tree: bool = False
    tuning: bool = False
    deliveries: int = 8000  # simulated in the calibration


class RunTask(msgspec.Struct, frozen=True, kw_only=True, tag="run"):
    """One policy on one route for some virtual time. Tasks of one route differ in nothing but the policy."""

    setting: Setting
    seed: int
    route_index: int
    policy: str
    mode: str  # generation mode
    tree: str | None = None  # None: the planner's choice
    centralised: bool = False  # the ledger is kept by one node, which all others ask
    route: tuple[str, ...]
    lengths_km: tuple[float, ...]
    duration_s: float
    stock: Stock | None = (
        None  # None: one request for as many pairs as there are; else a series of single ones
    )
    interval_s: float = 0.5  # between two requests of a series

    @property
    def world_seed(self) -> int:
        """Chance of the World: that of the route, for all policies the same."""
        name = f"{self.seed}/{self.route_index}".encode()
        return int.from_bytes(hashlib.sha256(name).digest()[:8], "big") >> (64 - WORLD_SEED_BITS)


class SweepTask(msgspec.Struct, frozen=True, kw_only=True, tag="sweep"):
    """One lab file with some values replaced, for some virtual time."""

    document: dict[str, Any]  # of the lab file, values replaced
    values: tuple[tuple[str, Any], ...]  # (key, value) that were replaced
    seed: int
    duration_s: float


Task = PrepareTask | RunTask | SweepTask

_ENCODE: Final = msgspec.json.Encoder(order="deterministic").encode


def task_key(task: Task, code: str) -> str:
    """Name of a result: changes with anything that decides it, the code among them."""
    return hashlib.sha256(code.encode() + b"\0" + _ENCODE(task)).hexdigest()[:32]


NOT_DECIDING: Final = ("cli", "runtime", "drivers", "lab_configs")
"""Rooms of the package that no virtual run touches."""

NOT_DECIDING_FILES: Final = ("report", "figures", "evaluation_claims", "evaluation_statistics")
"""Beginnings of names in the study that read results only."""


@lru_cache(maxsize=1)
def code_version() -> str:
    """Digest of the sources that decide results, as they are when first asked for."""
    package = Path(__file__).parents[1]
    digest = hashlib.sha256()
    for path in sorted(package.rglob("*.py")):
        place = path.relative_to(package)
        if place.parts[0] in NOT_DECIDING or (
            place.parts[0] == "study" and place.name.startswith(NOT_DECIDING_FILES)
        ):
            continue
        digest.update(str(place).encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()[:16]


def reporting_seeds(count: int) -> Sequence[int]:
    """Seeds of the networks of a report."""
    return range(REPORTING_SEED_FIRST, REPORTING_SEED_FIRST + count)
