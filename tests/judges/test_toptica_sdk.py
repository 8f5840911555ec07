"""The maker's SDK and QMI drive the emulated DLC pro over its command and monitoring lines."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from bellwire.simulator_backend.devices.dlc_pro_emulator import SERIAL_NUMBER, DlcProModel, make
from bellwire.simulator_backend.devices.emulators import EmulatorOrder
from bellwire.simulator_backend.devices.instrument_emulator import InstrumentEmulator
from bellwire.simulator_backend.devices.lines import TcpLine

pytestmark = pytest.mark.judge

Peer = Callable[..., Awaitable[str]]


@pytest.fixture
async def emulator() -> AsyncIterator[InstrumentEmulator]:
    dlc = make(EmulatorOrder(name="dlc", address="tcp://127.0.0.1:0"))
    await dlc.start()
    yield dlc
    await dlc.stop()


def ports(emulator: InstrumentEmulator) -> list[int]:
    return [line.port for line in emulator.lines if isinstance(line, TcpLine)]


@pytest.fixture
async def sdk(emulator: InstrumentEmulator, peer: Peer) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(await peer("toptica_sdk.py", "127.0.0.1", *ports(emulator)))
    return found


async def test_the_sdk_of_the_maker_reads_sets_and_is_refused(
    sdk: dict[str, Any], emulator: InstrumentEmulator
) -> None:
    assert sdk["serial_number"] == SERIAL_NUMBER
    assert (sdk["enabled"], sdk["status"]) == (False, 0)
    assert sdk["current_set"] == sdk["current_gsv"] == 81.25
    assert sdk["clipped"] > 0
    assert sdk["current_clipped"] == 140.0
    for refused in ("unknown", "read_only", "wrong_type", "level_before"):
        assert sdk[refused] is not None, refused
    assert (sdk["level"], sdk["level_after"]) == (2, 0)
    assert sdk["news"] == [
        ["laser1:dl:cc:current-set", 140.0],
        ["laser1:dl:cc:current-set", 77.0],
    ]
    assert sdk["system_type"] == "DLCpro"
    assert (sdk["label"], sdk["health"], sdk["interlock_open"]) == ("pump", "OK", False)
    assert (sdk["emission"], sdk["typed_current"], sdk["clip"]) == (True, 90.0, 140.0)
    assert (sdk["temp_set"], sdk["ready"], sdk["mon_port"]) == (24.0, False, ports(emulator)[1])
    assert 21.0 < sdk["temp_act"] < 24.0
    assert isinstance(emulator.model, DlcProModel)
    assert emulator.model.laser.current_ma == 90.0


async def test_qmi_sets_several_parameters_at_once(emulator: InstrumentEmulator, peer: Peer) -> None:
    found = json.loads(await peer("qmi_dlc.py", "127.0.0.1", ports(emulator)[0]))
    assert found["serial_number"] == SERIAL_NUMBER
    assert found["several"] == [73.5, True, True]
    assert "Error: -" in found["unknown"]
    assert isinstance(emulator.model, DlcProModel)
    assert emulator.model.laser.current_ma == 73.5
