"""The section `predistribution` of a lab file: for which demand pairs are kept in store, how many, how long.

Owns the section, its checks and the way to `StoreSettings`. Refuses the choice of super-links, which is the
planner's. Every agent of a lab comes to the same super-links, since they follow from the lab file alone; a
demand that was observed comes in by a file beside it, which `bellwire demand` writes.
"""

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, Literal, Self

import msgspec
from pydantic import Field, TypeAdapter, ValidationError, model_validator

from bellwire.core.errors import ConfigError
from bellwire.core.ids import NodeId
from bellwire.core.modes import is_foreign, parse_mode
from bellwire.core.plans import store_request
from bellwire.core.registry import nearest
from bellwire.core.settings import RELAY_SLOTS, NetworkSettings, StoreSettings, SuperLinkSettings
from bellwire.core.units import NS_PER_MS, ns_from_s
from bellwire.labs.problems import ProblemList
from bellwire.labs.sections import Count, Fidelity, Name, NotNegative, Positive, Section

if TYPE_CHECKING:
    from bellwire.labs.models import LabFile
    from bellwire.planner.predistribution import SuperLink


class Demand(Section):
    """How often pairs between two nodes are wanted; only proportions of weights count."""

    source: Annotated[str, Field(alias="from")]
    target: Annotated[str, Field(alias="to")]
    weight: Positive = 1.0


class Predistribution(Section):
    """Pairs made ahead of requests and kept between chosen nodes, from idle resources only."""

    mode: Literal["none", "one_time", "continuous"] = "none"
    # Pairs that will be wanted; null: those of `requests`, each alike
    demand: tuple[Demand, ...] | None = None
    demand_file: Name | None = None  # instead: written by `bellwire demand`, beside the lab file
    super_links: tuple[tuple[str, str], ...] | None = None  # null: chosen for the demand
    # Every link keeps pairs of its own, for nobody, beside `super_links`: what reactive paths are made of.
    # Nothing is chosen for a demand then
    every_link: bool = False
    method: Literal["greedy", "clusters"] = "greedy"
    budget_attempts: Positive = 1e4  # link attempts for one pair of every super-link together
    stock: Count = 2  # pairs kept by each; fewer where memories would be missing for requests
    threshold: Count | None = None  # refilled when fewer are there; null: whenever one is gone
    fidelity_min: Fidelity | None = 0.5  # a pair that has become worse is let go; null: none is
    age_max_s: Positive | None = None  # an older pair is let go; null: the compulsory maximum age
    generation: str = "swap_asap"  # generation mode of pairs for the store
    pause_ms: NotNegative = 5.0  # a request that has used a pair gets the next one no sooner

    @model_validator(mode="after")
    def _one_demand(self) -> Self:
        if self.demand is not None and self.demand_file is not None:
            raise ValueError("demand and demand_file say the same thing; give one")
        if self.every_link and (self.demand is not None or self.demand_file is not None):
            raise ValueError("every_link is for no demand: leave demand and demand_file out")
        if self.threshold is not None and self.threshold > self.stock:
            raise ValueError(f"threshold = {self.threshold} is above stock = {self.stock}")
        if is_foreign(parse_mode_of(self.generation)):
            raise ValueError(f"generation: {self.generation} makes no pairs that could be kept")
        return self


def parse_mode_of(text: str) -> str:
    """The mode as it stands. Raises ValueError where it means nothing."""
    try:
        parse_mode(text)
    except ConfigError as wrong:
        raise ValueError(wrong.problem) from None
    return text


DEMAND_FILE: Final = TypeAdapter(tuple[Demand, ...])


def with_demand(file: "LabFile", folder: Path, problems: ProblemList) -> "LabFile":
    """The file with the demand that stands in `demand_file`, relative to the folder of the lab file."""
    section = file.predistribution
    if section.demand_file is None:
        return file
    place = ("predistribution", "demand_file")
    path = folder / section.demand_file
    try:
        demand = DEMAND_FILE.validate_python(json.loads(path.read_text(encoding="utf-8"))["demand"])
    except OSError as problem:
        problems.add(place, f"{path}: {problem.strerror}; `bellwire demand` writes it")
        return file
    except (ValueError, KeyError, TypeError, ValidationError):
        problems.add(place, f"{path} is no demand file; `bellwire demand` writes one")
        return file
    replaced = section.model_copy(update={"demand": demand, "demand_file": None})
    return file.model_copy(update={"predistribution": replaced})


def check_stores(file: "LabFile", problems: ProblemList) -> None:
    """Add every name that is no node, and every pair of a node with itself."""
    section = file.predistribution
    named: list[tuple[tuple[str | int, ...], tuple[str, str]]] = []
    for index, each in enumerate(section.demand or ()):
        named.append((("predistribution", "demand", index), (each.source, each.target)))
    for index, ends in enumerate(section.super_links or ()):
        named.append((("predistribution", "super_links", index), ends))
    for place, ends in named:
        for name in ends:
            if name not in file.nodes:
                problems.add(place, f'unknown node "{name}"{nearest(name, file.nodes)}')
        if ends[0] == ends[1]:
            problems.add(place, f"{ends[0]} needs no entanglement with itself")
    if section.mode != "none" and not (
        section.demand or section.super_links or section.every_link or _pairs(file)
    ):
        problems.add(("predistribution",), "give demand or super_links: the lab has no requests for pairs")


def _pairs(file: "LabFile") -> tuple[Demand, ...]:
    return tuple(
        Demand.model_validate({"from": request.source, "to": request.target})
        for request in file.requests
        if not request.ghz_with and not request.graph
    )


def with_stores(file: "LabFile", network: NetworkSettings) -> NetworkSettings:
    """The network with the stores that the section asks for.

    Raises:
        ConfigError: a demand that no way serves, or a super-link between nodes that no way joins.
    """
    section = file.predistribution
    if section.mode == "none":
        return network
    threshold = section.stock if section.threshold is None else section.threshold
    links: list[SuperLinkSettings] = []
    wanted = [] if section.every_link and section.super_links is None else _chosen(file, network)
    if section.every_link:
        wanted += [
            (one.nodes, f"({' '.join(one.nodes)})") for one in network.links.values() if one.through is None
        ]
    for route, tree in dict(wanted).items():
        target = min(section.stock, room_for(network, route))
        if section.every_link:
            target = min(target, _share_of_banks(network, route))
        if target > 0:
            links.append(
                SuperLinkSettings(
                    request=store_request(route[0], route[-1]),
                    route=route,
                    tree=tree,
                    target=target,
                    threshold=min(threshold, target),
                    fidelity_min=section.fidelity_min,
                    age_max_ns=None if section.age_max_s is None else ns_from_s(section.age_max_s),
                )
            )
    stores = StoreSettings(
        continuous=section.mode == "continuous",
        super_links=tuple(links),
        mode=section.generation,
        pause_ns=round(section.pause_ms * NS_PER_MS),
    )
    return msgspec.structs.replace(network, stores=stores)


def _chosen(file: "LabFile", network: NetworkSettings) -> list[tuple[tuple[NodeId, ...], str]]:
    """Routes and trees of the super-links that are named or chosen."""
    return [(each.route, each.text) for each in _super_links(file, network)]


def _share_of_banks(network: NetworkSettings, route: tuple[NodeId, ...]) -> int:
    """Pairs that a link may keep where every link of a bank keeps some."""
    least = math.inf
    for end, other in ((route[0], route[1]), (route[-1], route[-2])):
        link = next(one for one in network.links.values() if set(one.nodes) == {end, other})
        side = link.nodes.index(end)
        if link.shared[side]:
            slots = link.slots[side]
            links = sum(slots in one.slots and end in one.nodes for one in network.links.values())
            least = min(least, (len(slots) - RELAY_SLOTS) // links)
    return max(0, int(min(least, 1 << 16)))


def _super_links(file: "LabFile", network: NetworkSettings) -> "tuple[SuperLink, ...]":
    # Imported late: arrays are loaded only for labs that keep pairs.
    from bellwire.planner import predistribution as planned
    from bellwire.planner.predistribution_clusters import clustered
    from bellwire.planner.predistribution_greedy import greedy
    from bellwire.planner.sources.settings import topology_of

    section = file.predistribution
    topology = topology_of(network)
    if section.super_links is not None:
        ends = [planned.Demand(*pair) for pair in section.super_links]
        known = planned.SuperLinks(topology, ends, budget_attempts=float("inf"))
        found = [known.index_of(*pair) for pair in section.super_links]
        return tuple(known.candidates[index] for index in found if index is not None)
    demand = _pairs(file) if section.demand is None else section.demand
    wanted = [planned.Demand(each.source, each.target, each.weight) for each in demand]
    known = planned.SuperLinks(topology, wanted, budget_attempts=section.budget_attempts)
    return (greedy(known) if section.method == "greedy" else clustered(known, file.seed)).super_links


def room_for(network: NetworkSettings, route: tuple[NodeId, ...]) -> int:
    """Pairs that can lie at both ends of a route without taking all memories from requests: of a bank that
    links share, two stay; of a link with lanes of its own, one where there are several."""
    found: list[int] = []
    for end, beside in ((route[0], route[1]), (route[-1], route[-2])):
        link = next(one for one in network.links.values() if set(one.nodes) == {end, beside})
        side = link.nodes.index(end)
        slots = len(link.slots[side])
        found.append(slots - RELAY_SLOTS if link.shared[side] else max(1, slots - 1))
    return max(0, min(found))
