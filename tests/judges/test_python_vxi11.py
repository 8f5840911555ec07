"""python-vxi11, a client of another project in a process of its own, drives an emulated SCPI meter."""

import json

import pytest

from bellwire.simulator_backend.devices.vxi11_server import Vxi11Line
from tests.judges.conftest import Peer
from tests.simulator_backend.devices.visa_clients import meter_of, powered

pytestmark = pytest.mark.judge


async def test_python_vxi11_asks_locks_clears_triggers_and_aborts(peer: Peer) -> None:
    line = Vxi11Line()
    async with powered(line) as emulator:
        seen = json.loads(await peer("vxi11_client.py", line.port))
        assert meter_of(emulator).triggers == 1
    assert seen == {
        "identity": "bellwire,Meter,000123,1.0",
        "count": "7",
        "block": True,
        "locked": "11: Device locked by another link [write]",
        "unlocked": "nothing",
        "status": [4 + 64, 4],
        "error": '-113,"Undefined header;BOGUS"',
        "unasked": "15: IO timeout [read]",
        "unterminated": '-420,"Query UNTERMINATED"',
        "aborted": ["23: Abort [read]"],
    }
