"""Finding, opening and letting go of a Time Tagger by the maker's library, and what its errors mean.

Owns the import of `Swabian.TimeTagger` and one tagger object. All of it runs in the thread of a session.
"""

from __future__ import annotations

import contextlib
import importlib
import re
from typing import Any

from bellwire.core.errors import ConfigError, DeviceFault
from bellwire.drivers.addresses import place
from bellwire.drivers.faults import DeviceError, Disconnected
from bellwire.drivers.transports import NoTransport

MODULE = "Swabian.TimeTagger"
PACKAGE = "Swabian-TimeTagger"
SERVER_PORT = 41_101
USB = re.compile(r"usb(?::(?P<serial>[A-Za-z0-9]+))?", re.IGNORECASE)
GONE = (
    "no time tagger attached",
    "not attached or already in use",
    "not a valid time tagger serial number",
    "could not connect",
    "connection",
    "disconnected",
    "usb error",
    "name or service not known",
)
"""Words of errors after which the instrument must be opened anew."""


def fault_of(instrument: str, problem: Exception) -> DeviceFault:
    """An error of the library as one of ours. It knows only RuntimeError, ValueError and TypeError."""
    text = str(problem)
    if isinstance(problem, RuntimeError) and any(words in text.lower() for words in GONE):
        return Disconnected(instrument, text)
    return DeviceError(instrument, text or type(problem).__name__)


class VendorTransport(NoTransport):
    """One tagger object, from `open` to `close`. `library` None: the maker's module is imported."""

    def __init__(self, instrument: str, address: str, serial_number: str | None, library: Any) -> None:
        self.tagger: Any = None
        self.library: Any = library
        self._instrument = instrument
        self._usb = USB.fullmatch(address)
        self._server = ""
        if self._usb is None:
            found = place(address, SERVER_PORT, instrument=instrument)
            self._server = f"{found.host}:{found.port}"
        self._serial_number = (self._usb["serial"] if self._usb else None) or serial_number or ""

    @property
    def is_network(self) -> bool:
        """Whether it is reached through a Time Tagger server."""
        return self._usb is None

    def open(self, timeout_s: float) -> None:
        if self.library is None:
            try:
                self.library = importlib.import_module(MODULE)
            except ImportError as error:
                problem = f"the maker's library is not installed: pip install {PACKAGE} ({error})"
                raise ConfigError(problem, where=self._instrument) from error
        try:
            if self.is_network:
                self.tagger = self.library.createTimeTaggerNetwork(self._server)
            else:
                self.tagger = self.library.createTimeTagger(self._serial_number)
        except (RuntimeError, ValueError) as problem:
            raise Disconnected(self._instrument, str(problem)) from problem

    def close(self) -> None:
        tagger, self.tagger = self.tagger, None
        if tagger is not None:
            with contextlib.suppress(RuntimeError):  # one that is gone cannot be freed any better
                self.library.freeTimeTagger(tagger)
