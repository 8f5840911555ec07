"""The section `schedule` of a lab file: slots of all links, who decides about them, what keeps them apart.

Owns its keys and what they may not say. Refuses the schedule itself (schedule.py).
"""

from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from bellwire.core.registry import nearest
from bellwire.labs.sections import NotNegative, Positive, Section
from bellwire.planner.calendar.frames import SLOTS_MAX
from bellwire.planner.calendar.orders import orders_known

if TYPE_CHECKING:
    from bellwire.labs.models import LabFile
    from bellwire.labs.problems import ProblemList


class ScheduleSection(Section):
    """A network schedule: slots of one length that repeat, on the common clock."""

    slot_ms: Positive  # not shorter than an attempt with its herald and the guard on any link
    slots: Annotated[int, Field(ge=1, le=SLOTS_MAX)]  # of a cycle
    clock_sigma_us: NotNegative = 1.0  # standard error of a clock
    clock_sigmas_us: dict[str, NotNegative] = Field(default_factory=dict)  # of single nodes and stations
    # slots in which a link is left to its calibration, by link
    calibrations: dict[str, tuple[Annotated[int, Field(ge=0, lt=SLOTS_MAX)], ...]] = Field(
        default_factory=dict
    )
    # settings of switches that a link needs while it attempts, by link: {switch: setting}
    switches: dict[str, dict[str, str]] = Field(default_factory=dict)
    owner: str | None = None  # the node that decides; null: the first one of the file
    # region -> the node that decides about links within it; `owner` decides about what crosses regions
    regions: dict[str, str] = Field(default_factory=dict)
    # Share of the predicted rate that is not promised: predictions are some per cent off (docs/planning.md)
    margin: Annotated[float, Field(ge=0, le=0.9)] = 0.1
    order: str = "best"  # in which requests are served: see docs/scheduling.md


def check_schedule(lab: "LabFile", problems: "ProblemList") -> None:
    """Problems of the section that need other sections to be seen."""
    section = lab.schedule
    if section is None:
        return
    nodes = [*lab.nodes, *lab.stations]
    for key, links in (("calibrations", section.calibrations), ("switches", section.switches)):
        for name in links:
            if name not in lab.links:
                problems.add(("schedule", key, name), f'unknown link "{name}"{nearest(name, lab.links)}')
    for name, slots in section.calibrations.items():
        if any(slot >= section.slots for slot in slots):
            problems.add(
                ("schedule", "calibrations", name),
                f"slot {max(slots)} of {section.slots}; slots are counted from 0",
            )
    for name in section.clock_sigmas_us:
        if name not in nodes:
            problems.add(
                ("schedule", "clock_sigmas_us", name), f'unknown node "{name}"{nearest(name, nodes)}'
            )
    if section.owner is not None and section.owner not in lab.nodes:
        problems.add(
            ("schedule", "owner"), f'unknown node "{section.owner}"{nearest(section.owner, lab.nodes)}'
        )
    regions = {node.region for node in lab.nodes.values() if node.region is not None}
    for region, node in section.regions.items():
        if region not in regions:
            problems.add(("schedule", "regions", region), f'no node is in region "{region}"')
        if node not in lab.nodes:
            problems.add(("schedule", "regions", region), f'unknown node "{node}"{nearest(node, lab.nodes)}')
        elif lab.nodes[node].region != region:
            problems.add(("schedule", "regions", region), f"{node} decides about {region} and is not in it")
    if section.order not in orders_known():
        problems.add(
            ("schedule", "order"),
            f'unknown order "{section.order}"{nearest(section.order, orders_known())}',
        )
    for name, link in lab.links.items():
        if link.scheduler == "tdma":
            problems.add(
                ("links", name, "calendar"), "the network schedule writes the calendars; leave out its own"
            )
        if link.ahead is not None:
            problems.add(
                ("links", name, "ahead"), "under a network schedule nothing is made ahead of requests"
            )
    if lab.plan_together is not None:
        problems.add(("plan_together",), "the network schedule plans all requests together; leave it out")
