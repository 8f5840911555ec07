"""The heralding FPGA as equipment: a board of its own, whose inputs see the photons of its surroundings.

Owns the joint between the board (`herald_core.py`) with its protocol (`endpoint.py`) and the base of
emulators. Refuses links and lanes: a board that serves a station is wired by `bench.py`.
"""

from __future__ import annotations

from collections.abc import Callable

from bellwire.drivers.framing import (
    FLAG,
    REPLY_BIT,
    FrameDecoder,
    FrameType,
    Message,
    encode_frame,
)
from bellwire.simulator_backend.devices.device_model import Answer, DeviceModel
from bellwire.simulator_backend.devices.emulators import EmulatorOrder
from bellwire.simulator_backend.devices.endpoint import FramedEndpoint
from bellwire.simulator_backend.devices.faults import Fault, FaultSwitches
from bellwire.simulator_backend.devices.herald_clock import HeraldHardware
from bellwire.simulator_backend.devices.herald_core import HeraldCore
from bellwire.simulator_backend.devices.instrument_emulator import InstrumentEmulator
from bellwire.simulator_backend.devices.own_clock import OwnClock
from bellwire.simulator_backend.devices.surroundings import Wiring

INPUTS = ("channel_1", "channel_2", "channel_3", "channel_4")
"""Words of the inputs in a wiring."""
SERIAL_NUMBER = 1
TICK_NS = 5_000_000
TICKS_PER_BOUND = 2
REQUEST_BYTES_MAX = 4096
WRITES = frozenset({FrameType.WRITE, FrameType.WRITE_FIXED})


class FpgaModel(DeviceModel):
    """One powered board; requests are the octets between two flags."""

    tick_s = TICK_NS / 1e9

    def __init__(self, core: HeraldCore) -> None:
        self.core = core
        self._sent: list[Message] = []
        self._endpoint = FramedEndpoint(core, self._sent.append, FaultSwitches())
        self._decoder = FrameDecoder()
        self._ticks = 0
        self._ticked_ns = 0

    def split(self, buffer: bytearray) -> list[bytes]:
        *whole, rest = bytes(buffer).split(bytes([FLAG]))
        buffer[:] = rest if len(rest) <= REQUEST_BYTES_MAX else b""
        return [octets for octets in whole if octets]

    def changes(self, request: bytes) -> bool:
        return request[0] in WRITES

    def execute(self, request: bytes, now_ns: int) -> list[Answer]:
        damaged = self._decoder.crc_errors
        messages = self._decoder.feed(bytes([FLAG]) + request + bytes([FLAG]))
        self._endpoint.receive(messages, self._decoder.crc_errors - damaged, now_ns)
        return self._answers()

    def tick(self, now_ns: int) -> list[Answer]:
        # The inputs are looked at often, or the ring would see bursts that no photons make.
        if now_ns - self._ticked_ns < TICK_NS // 2:
            return []  # a pace other than 1 does not make more seconds
        self._ticked_ns = now_ns
        self._ticks += 1
        if self._ticks % TICKS_PER_BOUND:
            self.core.set_now(now_ns)
            self._endpoint.pump()
        else:
            self._endpoint.tick(now_ns)
        return self._answers()

    def unasked(self, now_ns: int) -> bytes:
        return encode_frame(Message(FrameType.READ | REPLY_BIT, 0xAA, 0, 1, 0, b"\xde\xad\xbe\xef"))

    def acknowledges(self, request: bytes) -> list[Answer]:
        replies: list[Answer] = []
        for message in FrameDecoder().feed(bytes([FLAG]) + request + bytes([FLAG])):
            kind = message.type | REPLY_BIT
            reply = Message(kind, message.seq, message.address, message.count, 0)
            replies.append(Answer(encode_frame(reply)))
        return replies

    def afflict(self, fault: Fault, on: bool, now_ns: int) -> None:
        self.core.afflict(fault, on, now_ns)

    def _answers(self) -> list[Answer]:
        messages = list(self._sent)
        self._sent.clear()
        return [Answer(encode_frame(one), solicited=bool(one.type & REPLY_BIT)) for one in messages]


def board(
    wiring: Wiring,
    serial_number: int,
    hardware: HeraldHardware | None,
    clock: Callable[[], int],
    own_clock: OwnClock | None = None,
) -> Callable[[], FpgaModel]:
    """What makes the model at each power-on; the count of starts is the one thing that survives.

    It begins with the seconds of the clock, so that a restarted emulator process never repeats a count.
    """
    boot_count = clock() // 1_000_000_000 & 0x7FFF_FFFF
    last: list[HeraldCore] = []

    def power_up() -> FpgaModel:
        nonlocal boot_count
        boot_count = max([boot_count, *(core.boot_count for core in last)]) + 1
        core = HeraldCore(
            serial_number=serial_number,
            boot_count=boot_count,
            boot_ns=clock(),
            hardware=hardware,
            photons=wiring,
            inputs=INPUTS,
            own_clock=own_clock,
        )
        last[:] = [core]
        return FpgaModel(core)

    return power_up


def make(order: EmulatorOrder) -> InstrumentEmulator:
    """The emulator for a place in a lab; the serial number is a decimal number. Raises ConfigError."""
    serial_number = SERIAL_NUMBER if order.serial_number is None else int(order.serial_number)
    return InstrumentEmulator(
        order.name,
        board(order.wiring, serial_number, None, order.now_ns, order.own_clock),
        [order.terminal()],
        pace=order.pace,
        seed=order.seed,
        clock=order.now_ns,
    )
