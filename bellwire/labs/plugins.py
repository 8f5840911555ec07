"""Everything that other packages can add, in one table, and what is installed of it.

Owns the list of entry point groups with what an entry of each is, and the look at installed packages. Refuses
use: each table looks up its own names when a lab file, a request or an option says them.
"""

from importlib.metadata import EntryPoint, distributions, entry_points
from typing import Final, NamedTuple

from bellwire.core.registry import nearest


class Group(NamedTuple):
    """A function of the network for which packages may bring their own."""

    name: str  # of the entry point group
    adds: str
    entry: str  # what an entry point names
    used_by: str  # where its name is written


GROUPS: Final = (
    Group("bellwire.drivers", "instrument drivers", "DriverCard", "`driver` of an instrument"),
    Group("bellwire.emulators", "emulated instruments", "a device class", "`emulated: true`"),
    Group(
        "bellwire.procedures",
        "calibration procedures",
        "a Procedure class",
        "`bellwire calibrate --procedure`",
    ),
    Group("bellwire.swap_policies", "swapping policies", "a policy with its traits", "`mode` of a request"),
    Group("bellwire.schedulers", "link schedulers", "LinkSettings -> Scheduler", "`scheduler` of a link"),
    Group("bellwire.planner_methods", "planners of one pair", "a function", "`bellwire plan --method`"),
    Group(
        "bellwire.planner_batch_methods",
        "planners of several requests",
        "a function",
        "`bellwire plan --method`",
    ),
    Group(
        "bellwire.planner_multipartite_methods",
        "planners of GHZ and graph states",
        "a function",
        "`bellwire plan --method`",
    ),
    Group(
        "bellwire.calendars",
        "orders of network schedules",
        "Schedule, routes, bookings -> Outcome",
        "`order` of `schedule`",
    ),
)


class Plugin(NamedTuple):
    """One entry of another package."""

    group: str
    name: str
    place: str  # module:attribute
    package: str
    version: str
    problem: str | None  # why it cannot be used, None: it was loaded


def installed(groups: tuple[Group, ...] = GROUPS) -> tuple[Plugin, ...]:
    """All entries of all groups, each loaded once to see whether that works."""
    return tuple(
        _seen(group.name, point)
        for group in groups
        for point in sorted(entry_points(group=group.name), key=lambda one: one.name)
    )


def misspelt() -> tuple[Plugin, ...]:
    """Entries under groups that begin like ours and are none: nobody will ever look there."""
    known = {group.name for group in GROUPS}
    return tuple(
        _described(point.group, point, f'no such group "{point.group}"{nearest(point.group, known)}')
        for package in distributions()
        for point in package.entry_points
        if point.group.startswith("bellwire.") and point.group not in known
    )


def _seen(group: str, point: EntryPoint) -> Plugin:
    try:
        point.load()
    except Exception as broken:
        return _described(group, point, f"{type(broken).__name__}: {broken}")
    return _described(group, point, None)


def _described(group: str, point: EntryPoint, problem: str | None) -> Plugin:
    package = point.dist
    return Plugin(
        group,
        point.name,
        point.value,
        "unknown" if package is None else package.name,
        "" if package is None else package.version,
        problem,
    )
