"""LiteX's Etherbone client, in a process of its own, reads and writes the registers of an emulated FPGA."""

import json
import time
from pathlib import Path

import pytest

from bellwire.drivers.regmap import load_map
from bellwire.simulator_backend.devices.framed_emulator import FramedEmulator
from bellwire.simulator_backend.devices.herald_core import HeraldCore
from tests.judges.conftest import Peer

pytestmark = pytest.mark.judge


async def test_litex_probes_reads_and_writes_the_registers_of_the_board(peer: Peer, tmp_path: Path) -> None:
    def make_core(boot_count: int, now_ns: int) -> HeraldCore:
        return HeraldCore(serial_number=2001, boot_count=boot_count, boot_ns=now_ns)

    board = FramedEmulator(tmp_path / "board", make_core, lambda core: None, time.time_ns, 0)
    board.start()
    assert board.etherbone is not None
    seen = json.loads(await peer("etherbone_client.py", board.etherbone.port))
    damaged = board.etherbone.damaged_packets
    board.stop()
    register_map = load_map("herald_fpga")
    assert seen == {
        "probe": 1,
        "identity": register_map.identity,
        "burst": [register_map.identity, register_map.abi, register_map.hash],
        "hole": 0xFFFF_FFFF,
        "scratch": 0xCAFE,
        "channel": [5, 6, 1],
        "serial": 2001,
    }
    assert damaged == 0
