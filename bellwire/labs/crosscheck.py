"""References between the sections of a lab file: names that must exist, things that must not repeat.

Owns problems that need two sections to be seen. Refuses physics and plans (`bellwire check` asks the
planner).
"""

import re
from collections.abc import Iterator
from itertools import pairwise
from typing import Final

from bellwire.core.errors import ConfigError
from bellwire.core.graph_states import graph_fault, members_fault, vertices_fault
from bellwire.core.instrument_messages import CONSOLE
from bellwire.core.modes import parse_mode
from bellwire.core.registry import nearest
from bellwire.core.units import NS_PER_US
from bellwire.labs.architectures import attempt_times
from bellwire.labs.banks import check_banks
from bellwire.labs.calibration_checks import check_calibration
from bellwire.labs.document import KeyPath
from bellwire.labs.equipment_checks import check_equipment
from bellwire.labs.herald_checks import check_heralds
from bellwire.labs.herald_inputs import tagger_of
from bellwire.labs.light_bench_checks import check_optics
from bellwire.labs.models import Instrument, LabFile, Link, Request
from bellwire.labs.optics import shortest_period_ns
from bellwire.labs.problems import ProblemList
from bellwire.labs.schedule_models import check_schedule
from bellwire.labs.stores import check_stores
from bellwire.labs.switches import check_switches
from bellwire.link_layer.schedulers.table import SCHEDULERS, known_schedulers
from bellwire.planner.tree_texts import read_tree

DRIVERS_BY_ROLE: Final[dict[str, tuple[str, ...]]] = {
    "memory": ("memory_controller",),
    "herald": ("herald_fpga", "tagger_herald"),
    "timing": ("srs_dg645",),
}
"""Drivers that can play each role of a lab; the drivers themselves stand in bellwire.drivers."""

_TCP: Final = re.compile(r"^(?:tcp://|TCPIP\d*::)([^:]+):{1,2}(\d+)")


def cross_check(lab: LabFile, problems: ProblemList) -> None:
    """Add every problem that needs more than one section to be seen."""
    for name in sorted(set(lab.nodes) & set(lab.stations)):
        problems.add(("stations", name), f'"{name}" is also a node; every name stands for one machine')
    if lab.console is not None:
        for section, machines in (("nodes", lab.nodes), ("stations", lab.stations)):
            if CONSOLE in machines:
                problems.add((section, CONSOLE), f'"{CONSOLE}" is the name of the console; take another')
    _check_links(lab, problems)
    check_banks(lab, problems)
    check_stores(lab, problems)
    check_switches(lab, problems)
    for name in lab.classical.delay_us:
        if name not in lab.links:
            problems.add(("classical", "delay_us", name), f'unknown link "{name}"{nearest(name, lab.links)}')
    ids: set[str] = set()
    for index, request in enumerate(lab.requests):
        if request.id in ids:
            problems.add(("requests", index, "id"), f'a second request is called "{request.id}"')
        ids.add(request.id)
        _check_request(lab, request, ("requests", index), problems)
    _check_script(lab, problems)
    for index, crash in enumerate(lab.scenario.crashes):
        if crash.node not in lab.nodes and crash.node not in lab.stations:
            known = [*lab.nodes, *lab.stations]
            problems.add(
                ("scenario", "crashes", index, "node"),
                f'unknown node "{crash.node}"{nearest(crash.node, known)}',
            )
    for index, change in enumerate(lab.scenario.link_changes):
        if change.link not in lab.links:
            place = ("scenario", "link_changes", index, "link")
            problems.add(place, f'unknown link "{change.link}"{nearest(change.link, lab.links)}')
    centre = None if lab.central_ledger is None else lab.central_ledger.node
    if centre is not None and centre not in lab.nodes:
        problems.add(("central_ledger", "node"), f'unknown node "{centre}"{nearest(centre, lab.nodes)}')
    check_schedule(lab, problems)
    if lab.ledgers == "network" and (lab.schedule is None or not lab.schedule.regions):
        for name, node in lab.nodes.items():
            if node.region is not None:
                problems.add(
                    ("nodes", name, "region"),
                    "regions mean something with `ledgers: routes`, or where `schedule` has `regions`",
                )
    _check_instruments(lab, problems)
    check_heralds(lab, problems)
    check_equipment(lab, problems)
    check_optics(lab, problems)
    check_calibration(lab, problems)
    _check_ports(lab, problems)


def _check_script(lab: LabFile, problems: ProblemList) -> None:
    script = lab.scenario.scripted_heralds
    for name, offsets in {} if script is None else script.offset_attempts.items():
        place: KeyPath = ("scenario", "scripted_heralds", "offset_attempts", name)
        if name not in lab.links:
            problems.add(place, f'unknown link "{name}"{nearest(name, lab.links)}')
        elif len(offsets) != lab.links[name].lanes:
            problems.add(place, f"{len(offsets)} offsets for {lab.links[name].lanes} lanes")


def _check_links(lab: LabFile, problems: ProblemList) -> None:
    before = len(problems)
    served: dict[str, str] = {}
    ids = [request.id for request in lab.requests]
    for name, link in lab.links.items():
        place: KeyPath = ("links", name)
        for side, node in enumerate(link.nodes):
            if node not in lab.nodes:
                problems.add((*place, "nodes", side), f'unknown node "{node}"{nearest(node, lab.nodes)}')
        if link.station is not None:
            if link.station not in lab.stations:
                hint = nearest(link.station, lab.stations)
                problems.add((*place, "station"), f'unknown station "{link.station}"{hint}')
            elif link.station in served:
                other = served[link.station]
                problems.add(
                    (*place, "station"),
                    f'station "{link.station}" already serves link "{other}"; a station serves one',
                )
            served.setdefault(link.station, name)
        if link.reserved_for is not None and link.reserved_for not in ids:
            hint = nearest(link.reserved_for, ids)
            problems.add((*place, "reserved_for"), f'unknown request "{link.reserved_for}"{hint}')
        if link.scheduler not in SCHEDULERS and link.scheduler not in (known := known_schedulers()):
            problems.add(
                (*place, "scheduler"), f'unknown scheduler "{link.scheduler}"{nearest(link.scheduler, known)}'
            )
        _check_light(lab, name, link, problems)
        _check_period(lab, name, link, problems)
    for name in lab.stations:
        # A misspelt name in a link also leaves its station unused; one mistake gets one line.
        if name not in served and len(problems) == before:
            problems.add(("stations", name), f'no link uses the station "{name}"')


def _check_light(lab: LabFile, name: str, link: Link, problems: ProblemList) -> None:
    """Keys of the station that go with the architecture of its link, or do not."""
    station = lab.stations.get(link.station or "")
    if station is None:
        return
    if (
        link.architecture in ("sender_receiver", "midpoint_source")
        and "detectors" in station.model_fields_set
    ):
        problems.add(
            ("stations", link.station or "", "detectors"),
            f"no light meets here: {link.architecture} of link {name} detects in the memories "
            "(herald_efficiency, herald_dark_rate_hz of a node's memory)",
        )
    if station.detectors.photon_lifetime_ns is None and any(
        point.window_ns is not None for point in link.operating_points
    ):
        problems.add(
            ("links", name, "operating_points"),
            f"a window takes its share of a photon: give photon_lifetime_ns in the detectors of "
            f"{link.station}",
        )


def _check_period(lab: LabFile, name: str, link: Link, problems: ProblemList) -> None:
    if link.attempt_period_us is None or link.fibre_km is None:
        return
    needed_us = shortest_period_ns(lab, link) / NS_PER_US
    if link.attempt_period_us < needed_us:
        problems.add(
            ("links", name, "attempt_period_us"),
            f"must be at least {needed_us:g} (photon there, herald back, initialise), "
            f"is {link.attempt_period_us:g}",
        )
        return
    if _herald_driver(lab, link) != "herald_fpga":
        return
    # Imported late: a lab of virtual time loads no drivers.
    from bellwire.drivers.herald_settings import NOMINAL_CLOCK, settings_for_travel

    try:
        settings = settings_for_travel(
            round(link.attempt_period_us * NS_PER_US),
            link.lanes,
            attempt_times(link).click_ns,
            architecture=link.architecture,
        )
        settings.registers(NOMINAL_CLOCK, channels=4, windows=2)
    except ConfigError as problem:
        problems.add(("links", name, "attempt_period_us"), f"the analyser cannot keep it: {problem.problem}")


def _herald_driver(lab: LabFile, link: Link) -> str | None:
    station = lab.stations.get(link.station or "")
    herald = None if station is None or station.instruments is None else station.instruments.herald
    return None if herald is None else herald.driver


def _check_request(lab: LabFile, request: Request, place: KeyPath, problems: ProblemList) -> None:
    for key, node in (("from", request.source), ("to", request.target)):
        if node not in lab.nodes:
            problems.add((*place, key), f'unknown node "{node}"{nearest(node, lab.nodes)}')
    if request.ghz_with or request.graph:
        _check_members(lab, request, place, problems)
    for index, entry in enumerate(request.sequence):
        for node in entry.between:
            if node not in lab.nodes:
                hint = nearest(node, lab.nodes)
                problems.add((*place, "sequence", index), f'unknown node "{node}"{hint}')
    if request.cutoff_attempts is not None and len({_period(link) for link in lab.links.values()}) > 1:
        problems.add((*place, "cutoff_attempts"), "needs one attempt period in the whole lab; use cutoff_ms")
    try:
        parse_mode(request.mode)
    except ConfigError as wrong:
        problems.add((*place, "mode"), wrong.problem)
    along = _check_tree(request, place, problems)
    if request.route is None:
        if along is not None:
            _check_way(lab, request, along, (*place, "tree"), problems)
        return
    _check_way(lab, request, request.route, (*place, "route"), problems)
    if along not in (None, request.route):
        problems.add((*place, "tree"), "is over another route than the one given")


def _check_members(lab: LabFile, request: Request, place: KeyPath, problems: ProblemList) -> None:
    """Members of a GHZ or graph state are end nodes that keep their qubits."""
    wanted = "graph" if request.graph else "ghz_with"
    fault = vertices_fault(request.members, request.graph, tuple(request.vertices.items()))
    if fault is not None:
        problems.add((*place, "vertices"), fault)
        return
    for index, edge in enumerate(request.node_edges):
        for node in edge:
            if node not in lab.nodes:
                problems.add((*place, "graph", index), f'unknown node "{node}"{nearest(node, lab.nodes)}')
    if request.graph:
        fault = graph_fault(request.members, request.node_edges)
        if fault is not None:
            problems.add((*place, "graph"), fault)
    crowd = None if request.graph else members_fault(request.members)
    if crowd is not None:
        problems.add((*place, "ghz_with"), crowd)
    for index, node in enumerate(request.ghz_with, start=1):
        if node not in lab.nodes:
            problems.add((*place, "ghz_with", index), f'unknown node "{node}"{nearest(node, lab.nodes)}')
    for node in request.members:
        if node in lab.nodes and lab.nodes[node].role != "end":
            problems.add((*place, wanted), f'"{node}" is a {lab.nodes[node].role}; members are end nodes')
    if request.consumption != "keep":
        kind = "graph" if request.graph else "GHZ"
        problems.add((*place, "consumption"), f'{kind} states are kept: "keep", or leave it out')


def _check_tree(request: Request, place: KeyPath, problems: ProblemList) -> tuple[str, ...] | None:
    """The route of the tree; None where there is none to look at."""
    if request.tree is None:
        return None
    if request.ghz_with or request.graph:
        kind = "graph" if request.graph else "GHZ"
        problems.add((*place, "tree"), f"swapping trees are for pairs; leave it out for {kind} states")
        return None
    try:
        return read_tree(request.tree).route
    except ConfigError as wrong:
        problems.add((*place, "tree"), wrong.problem)
        return None


def _check_way(
    lab: LabFile, request: Request, way: tuple[str, ...], place: KeyPath, problems: ProblemList
) -> None:
    """A route, or the route of a tree, leads over links from the source to the destination. The steps of a
    route have lines of their own, those of a tree share one."""
    if way[0] != request.source or way[-1] != request.target:
        problems.add(place, f'must lead from "{request.source}" to "{request.target}"')
    if len(set(way)) != len(way):
        problems.add(place, "visits a node twice")
    pairs = {frozenset(link.nodes) for link in lab.links.values()}
    own_lines = way is request.route
    for index, (a, b) in enumerate(pairwise(way), start=1):
        step = (*place, index) if own_lines else place
        unknown = next((node for node in (a, b) if node not in lab.nodes), None)
        if unknown is not None:
            problems.add(step, f'unknown node "{unknown}"{nearest(unknown, lab.nodes)}')
            return
        if frozenset((a, b)) not in pairs:
            problems.add(step, f'no link joins "{a}" and "{b}"')


def _period(link: Link) -> object:
    """Equal for links of equal attempt period (the default period follows from fibre and lanes)."""
    if link.attempt is not None:
        return link.attempt.period_us
    return link.attempt_period_us or (link.architecture, link.fibre_km, link.lanes)


def _instruments(lab: LabFile) -> Iterator[tuple[KeyPath, str, Instrument]]:
    for name, node in lab.nodes.items():
        if node.instruments.memory is not None:
            yield ("nodes", name, "instruments", "memory"), "memory", node.instruments.memory
    for name, station in lab.stations.items():
        if station.instruments.herald is not None:
            yield ("stations", name, "instruments", "herald"), "herald", station.instruments.herald
        if station.instruments.timing is not None:
            yield ("stations", name, "instruments", "timing"), "timing", station.instruments.timing


def _check_instruments(lab: LabFile, problems: ProblemList) -> None:
    for place, role, instrument in _instruments(lab):
        known = DRIVERS_BY_ROLE[role]
        if instrument.driver not in known:
            every = {driver for drivers in DRIVERS_BY_ROLE.values() for driver in drivers}
            problem = (
                f'driver "{instrument.driver}" cannot play the role {role} (known: {", ".join(known)})'
                if instrument.driver in every
                else f'unknown driver "{instrument.driver}"{nearest(instrument.driver, every)}'
            )
            problems.add((*place, "driver"), problem)


def _check_ports(lab: LabFile, problems: ProblemList) -> None:
    places: list[tuple[KeyPath, str]] = []
    places += [(("nodes", name, "address"), node.address) for name, node in lab.nodes.items() if node.address]
    places += [(("stations", name, "address"), at.address) for name, at in lab.stations.items() if at.address]
    for section, machines in (("nodes", lab.nodes), ("stations", lab.stations)):
        for name, at in machines.items():
            if at.listen is not None:
                places.append(((section, name, "listen"), at.listen))
                if at.address is None:
                    problems.add(
                        (section, name, "listen"), "listen goes with an address, by which others come"
                    )
    if lab.console is not None:
        places.append((("console", "address"), lab.console.address))
    places += [
        ((*place, "address"), instrument.address)
        for place, _, instrument in _instruments(lab)
        if tagger_of(instrument.address) is None  # shared with the equipment on purpose
    ]
    places += [
        ((section, name, "equipment", one, "address"), equipment.address)
        for section, machines in (("nodes", lab.nodes), ("stations", lab.stations))
        for name, at in machines.items()
        for one, equipment in at.equipment.items()
    ]
    places += list(_second_ports(lab))
    owners: dict[str, KeyPath] = {}
    for path, address in places:
        found = _TCP.match(address)
        if found is not None and not 1 <= int(found[2]) <= 65535:
            problems.add(path, f"port {found[2]} is outside 1..65535")
        listener = (
            address if found is None else f"{found[1].replace('localhost', '127.0.0.1')} port {found[2]}"
        )
        if listener in owners:
            problems.add(
                path, f"{listener} is already taken by {'.'.join(str(step) for step in owners[listener][:2])}"
            )
        owners.setdefault(listener, path)


def _second_ports(lab: LabFile) -> Iterator[tuple[KeyPath, str]]:
    """Ports that instruments listen at beside the one of their address."""
    from bellwire.drivers import cards

    known = cards()
    for section, machines in (("nodes", lab.nodes), ("stations", lab.stations)):
        for name, at in machines.items():
            for one, equipment in at.equipment.items():
                above = known[equipment.driver].second_port_above if equipment.driver in known else 0
                found = _TCP.match(equipment.address)
                if above and found is not None:
                    place: KeyPath = (section, name, "equipment", one, "address")
                    yield place, f"tcp://{found[1]}:{int(found[2]) + above}"
