"""The VISA addresses of emulated instruments that take messages.

Owns `TCPIP::127.0.0.1,PORT::inst0::INSTR` (VXI-11 without portmapper) and
`TCPIP::127.0.0.1::hislip0,PORT::INSTR`. Refuses hosts that are not this machine: an emulator is served
nowhere else.
"""

from __future__ import annotations

import re

from bellwire.simulator_backend.devices.hislip_server import HislipLine
from bellwire.simulator_backend.devices.message_device import MessageLine
from bellwire.simulator_backend.devices.vxi11_server import Vxi11Line

_HOST = r"TCPIP\d*::(?P<host>127\.[\d.]+|localhost)"
_VXI11 = re.compile(_HOST + r",(?P<port>\d{1,5})(?:::inst0)?::INSTR", re.IGNORECASE)
_HISLIP = re.compile(_HOST + r"::hislip0(?:,(?P<port>\d{1,5}))?(?:::INSTR)?", re.IGNORECASE)
HISLIP_PORT = 4880
"""Where HiSLIP is when nobody says otherwise."""


def message_line(address: str) -> MessageLine | None:
    """The line that an address means; None: it is not one of a message line."""
    vxi11 = _VXI11.fullmatch(address)
    if vxi11 is not None:
        return Vxi11Line(int(vxi11["port"]), vxi11["host"])
    hislip = _HISLIP.fullmatch(address)
    if hislip is not None:
        return HislipLine(int(hislip["port"] or HISLIP_PORT), hislip["host"])
    return None
