"""What is known about a driver without loading it: the line of `bellwire drivers`.

Owns the description of makes: roles, transports, addresses, peers that have driven the emulator, and the
points that nobody has verified on hardware. Imports no driver, so that listing them costs nothing.
"""

from __future__ import annotations

import importlib
import importlib.metadata
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bellwire.drivers.instrument import Instrument


@dataclass(frozen=True, slots=True, kw_only=True)
class DriverCard:
    """One driver.

    `name`: in lab files. `place`: "module:Class". `roles`: names of protocols in roles.py. `address`: an
    example. `baud`, `port`: of the device as delivered. `extra`: the package that must be installed
    besides, as pip calls it, "" for none. `second_port_above`: a second TCP port of the instrument lies so
    far above the one of its address; 0: there is none. `seen_on`: hardware that it has driven; empty =
    emulated only. `unverified`: statements about the device that no public source confirms. `notes`:
    firmware and other things an operator must know.
    """

    name: str
    maker: str
    product: str
    place: str
    roles: tuple[str, ...]
    transport: str
    address: str
    extra: str = ""
    second_port_above: int = 0
    seen_on: tuple[str, ...] = ()
    unverified: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def is_installed(self) -> bool:
        """Whether what the driver needs besides bellwire is installed."""
        if not self.extra:
            return True
        try:
            importlib.metadata.version(self.extra)
        except importlib.metadata.PackageNotFoundError:
            return False
        return True

    def load(self) -> type[Instrument]:
        """The driver class; its module is imported now."""
        module, _, name = self.place.partition(":")
        driver: type[Instrument] = getattr(importlib.import_module(module), name)
        return driver
