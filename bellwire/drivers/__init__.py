"""Instrument drivers: bytes at the bottom, typed methods and events at the top.

Owns everything that knows a make of instrument. Refuses protocol knowledge (requests, pairs, plans) and
emulators: a driver cannot tell what it talks to. `cards()` is the registry; a driver that is not in it does
not exist for configuration files. Listing the drivers imports none of them.
"""

from __future__ import annotations

import importlib.metadata

from bellwire.core.errors import ConfigError
from bellwire.core.registry import nearest
from bellwire.drivers.card import DriverCard
from bellwire.drivers.catalogue import CATALOGUE
from bellwire.drivers.instrument import Instrument

ENTRY_POINTS = "bellwire.drivers"


def cards() -> dict[str, DriverCard]:
    """Every driver by its name in lab files: ours, and those that other packages register.

    Raises ConfigError when a package registers something else than a card, or a name twice.
    """
    known = {card.name: card for card in CATALOGUE}
    for point in importlib.metadata.entry_points(group=ENTRY_POINTS):
        card = point.load()
        if not isinstance(card, DriverCard):
            raise ConfigError(f"entry point {point.name} of {ENTRY_POINTS} is no DriverCard: {point.value}")
        if card.name in known:
            raise ConfigError(f'two drivers are called "{card.name}": {point.value} is the second')
        known[card.name] = card
    return known


def load_driver(name: str, *, where: str) -> type[Instrument]:
    """The driver class of that name. Raises ConfigError with the nearest name."""
    known = cards()
    if name not in known:
        raise ConfigError(f'unknown driver "{name}"{nearest(name, known)}', where=where)
    return known[name].load()
