"""How a station without a heralding FPGA is wired to its tagger, in the lab file and for the hosts.

Owns the meaning of the keys. Refuses to judge them: herald_checks.py.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from bellwire.labs.models import HeraldInstrument, LabFile, Link

PS_PER_NS = 1_000
TAGGER_HERALD: Final = "tagger_herald"
"""The driver that matches the clicks of a tagger."""

ADDRESS: Final = re.compile(r"equipment:(?P<name>.+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class HeraldInputs:
    """`tagger`: name of the equipment. `pps_channel`, `channels`: channels of the tagger, these by the input
    of the analyser. `delays_ps`: by input. `window_ns`: length of the acceptance window; None = as a
    heralding FPGA has it. `dark_rate_hz`: by input, clicks without light as the file says, for emulations.
    """

    tagger: str
    pps_channel: int
    channels: Mapping[int, int]
    delays_ps: Mapping[int, int]
    window_ns: int | None
    dark_rate_hz: Mapping[int, float]


def tagger_of(address: str) -> str | None:
    """The equipment behind `equipment:NAME`; None for any other address."""
    found = ADDRESS.fullmatch(address)
    return None if found is None else found["name"]


def herald_inputs(section: HeraldInstrument, link: Link, lab: LabFile) -> HeraldInputs | None:
    """The inputs of a checked section; None when its driver has an instrument of its own."""
    tagger = tagger_of(section.address)
    if section.driver != TAGGER_HERALD or tagger is None or section.pps_channel is None:
        return None
    from bellwire.drivers.herald_settings import INPUT_NAMES

    inputs = INPUT_NAMES[link.architecture]
    return HeraldInputs(
        tagger=tagger,
        pps_channel=section.pps_channel,
        channels={inputs[name]: channel for name, channel in section.detector_channels.items()},
        delays_ps={
            inputs[name]: round(delay_ns * PS_PER_NS) for name, delay_ns in section.detector_delays_ns.items()
        },
        window_ns=section.window_ns,
        dark_rate_hz={inputs[name]: _dark_rate_hz(name, link, lab) for name in section.detector_channels},
    )


def _dark_rate_hz(detector: str, link: Link, lab: LabFile) -> float:
    """Of a detector of the station, or of the herald line of a memory."""
    first, second = link.nodes
    sender = link.sender or first
    memory = {"first": first, "second": second, "receiver": second if sender == first else first}
    if detector in memory:
        return lab.nodes[memory[detector]].memory.herald_dark_rate_hz
    return lab.stations[link.station or ""].detectors.dark_rate_hz
