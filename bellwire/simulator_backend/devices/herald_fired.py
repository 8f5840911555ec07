"""What the hardware at the station of each architecture fires, whatever the device was told to look for.

Owns the wiring of the emulated stations: which inputs a success of a link pulses.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from bellwire.core.settings import Architecture

FiredPatterns = Mapping[int, tuple[tuple[int, ...], ...]]
"""Sets of channels that a success of each code may fire, in turn."""

FIRED: Final[dict[Architecture, FiredPatterns]] = {
    # Two of the four detectors of a polarisation analyser: left H, left V, right H, right V.
    "double_click": {1: ((0, 1), (2, 3)), 2: ((0, 3), (1, 2))},
    # The detector behind the left or the right port of a beam splitter.
    "single_click": {1: ((0,),), 2: ((2,),)},
    # The herald line of the receiver's memory, on the last input.
    "sender_receiver": {1: ((3,),)},
    # The herald lines of both memories: the first node's on the left, the second's on the right.
    "midpoint_source": {1: ((0, 2),)},
}
"""What the hardware at the station of each architecture does, whatever the device was told to look for."""
