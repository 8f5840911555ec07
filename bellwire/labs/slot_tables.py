"""Slot tables of a lab's heralding FPGAs: whether the devices can execute the schedule of the file.

Owns what their clocks and tables ask of a schedule. Refuses the tables themselves (runtime/slot_frames.py)
and stations without an FPGA, which take light of every attempt: there the ends alone keep to their slots.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from bellwire.core.errors import ConfigError, LocalMisuse

if TYPE_CHECKING:
    from bellwire.core.ids import LinkId
    from bellwire.core.settings import NetworkSettings
    from bellwire.labs.models import LabFile

SEQUENCER: Final = "herald_fpga"
"""The driver of the analyser that has a slot table."""


def sequenced_links(file: LabFile) -> list[LinkId]:
    """Links whose attempts are made by the sequencer of a heralding FPGA."""
    return [
        name
        for name, link in file.links.items()
        if link.station is not None
        and link.fibre_km is not None
        and (herald := file.stations[link.station].instruments.herald) is not None
        and herald.driver == SEQUENCER
    ]


def period_steps_ns(file: LabFile) -> dict[LinkId, int]:
    """For each of these links: its period is a multiple of this, because lanes take turns within it, each for
    whole ticks of the device."""
    links = sequenced_links(file)
    if not links:
        return {}
    from bellwire.drivers.herald_settings import NOMINAL_CLOCK  # a lab of virtual time loads no drivers

    return {name: file.links[name].lanes * NOMINAL_CLOCK.step_ns for name in links}


def check_slot_tables(file: LabFile, network: NetworkSettings) -> None:
    """Raises LocalMisuse naming the link, the value and the limit when an FPGA cannot execute the slots that
    its link was granted."""
    links = sequenced_links(file)
    if not links:
        return
    from bellwire.drivers.herald_settings import CHANNELS, NOMINAL_CLOCK, settings_for_travel
    from bellwire.runtime.slot_frames import with_slots

    for name in links:
        link = network.links[name]
        try:
            settings = settings_for_travel(
                link.period_ns, link.lanes, link.click_delay_ns, architecture=link.architecture
            )
            with_slots(settings, link).registers(NOMINAL_CLOCK, CHANNELS, windows=2)
        except ConfigError as refused:
            raise LocalMisuse(
                f"schedule: {link.station} cannot execute the slots of {name}: {refused.problem}"
            ) from None
