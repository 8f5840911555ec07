"""A host that speaks frames to an emulated device with time passed in, and stations that it is tried on."""

from __future__ import annotations

from typing import Any

from bellwire.drivers import framing
from bellwire.drivers.device_clock import Clock
from bellwire.drivers.frames import (
    HERALD_RECORDS_BYTES,
    Bound,
    Credit,
    Events,
    HeraldWords,
    Lost,
    RecordKind,
)
from bellwire.drivers.framing import FrameType, Message, Status, encode_frame, pack_words
from bellwire.drivers.herald_settings import HeraldSettings
from bellwire.simulator_backend.devices import endpoint, herald_core
from bellwire.simulator_backend.devices.faults import FaultSwitches
from bellwire.simulator_backend.devices.herald_clock import HeraldHardware

S = 10**9
BOOT_NS = 1_000 * S + 123_456_784
START_NS = 1_002 * S
PERIOD_NS = 1_000_000
SETTINGS = HeraldSettings(link_period_ns=PERIOD_NS)
RUN = 0b1101
"""Run at the PPS of ARM_PPS with attempts from PERIOD."""
COMMIT = 16


class Wire:
    """A host that speaks frames to a device core and sorts what comes back."""

    def __init__(self, core: Any) -> None:
        self.core = core
        self.now_ns = core.now_ns
        self.seq = 0
        self.replies: list[Message] = []
        self.pushed: list[Message] = []
        self.line = framing.FrameDecoder()
        self.endpoint = endpoint.FramedEndpoint(core, self._sent, FaultSwitches())
        self.request(FrameType.HELLO, 0, [1])

    def _sent(self, message: Message) -> None:
        (self.replies if message.type & 0x80 else self.pushed).append(message)

    def send(self, octets: bytes) -> None:
        damaged = self.line.crc_errors
        messages = self.line.feed(octets)
        self.endpoint.receive(messages, self.line.crc_errors - damaged, self.now_ns)

    def request(self, kind: int, address: int, words: list[int], count: int | None = None) -> Message:
        self.seq = (self.seq + 1) & 0xFF
        message = Message(
            kind, self.seq, address, len(words) if count is None else count, 0, pack_words(words)
        )
        self.send(encode_frame(message))
        return self.replies[-1]

    def read(self, name: str, index: int = 0) -> int:
        register = self.core.registers.map[name]
        reply = self.request(FrameType.READ, register.address_of(index), [], register.words)
        assert reply.status == Status.OK
        return int(register.decode(reply.words()))

    def write(self, name: str, value: int, index: int = 0) -> int:
        register = self.core.registers.map[name]
        return self.request(FrameType.WRITE, register.address_of(index), list(register.encode(value))).status

    def credit(self, granted: int, acknowledged: int) -> None:
        self.send(encode_frame(Message(FrameType.CREDIT, 0, payload=Credit(granted, acknowledged).pack())))

    def tick(self, kind: RecordKind = RecordKind.DECISION) -> Bound:
        """The last bound of a kind that a tick sends."""
        self.endpoint.tick(self.now_ns)
        bounds = [m for m in self.pushed if m.type == FrameType.BOUND and m.status == kind]
        return Bound.unpack(bounds[-1].payload)

    def raw(self, kind: RecordKind) -> list[bytes]:
        frames = [
            Events.unpack(m.payload, HERALD_RECORDS_BYTES[kind])
            for m in self.pushed
            if m.type == FrameType.EVENTS and m.status == kind
        ]
        return [record for frame in frames for record in frame.records]

    def records(self) -> list[HeraldWords]:
        return [HeraldWords.unpack(record) for record in self.raw(RecordKind.DECISION)]

    def lost(self, kind: RecordKind = RecordKind.DECISION) -> list[Lost]:
        return [
            Lost.unpack(m.payload, m.status)
            for m in self.pushed
            if m.type == FrameType.LOST and m.status == kind
        ]

    def sticky(self, bit: str) -> bool:
        return bool(self.core.registers.map["STICKY"].fields[bit].extract(self.read("STICKY")))

    def status(self, bit: str) -> bool:
        return bool(self.core.registers.map["STATUS"].fields[bit].extract(self.read("STATUS")))

    def configure(self, settings: HeraldSettings) -> None:
        """Write every register and table of the settings and commit them."""
        hardware = self.core.clock.hardware
        clock = Clock(hardware.tick_fs, hardware.fine_bits)
        for (name, index), value in settings.registers(clock, 4, 2).items():
            assert self.write(name, value, index) == Status.OK
        lut = self.core.registers.map["LUT_DATA"].address
        table = list(settings.outcome_table(4, 2))
        self.write("LUT_ADDR", 0)
        for k in range(0, len(table), 16):
            self.request(FrameType.WRITE_FIXED, lut, table[k : k + 16])
        self.write("CMD", COMMIT)

    def begin(self, control: int = RUN, run_short: int = 42, start_ns: int = START_NS) -> None:
        """Arm a run and let its second come."""
        self.write("RUN_ID", run_short)
        self.write("ARM_PPS", start_ns // S)
        assert self.write("CTRL", control) == Status.OK
        self.now_ns = start_ns
        self.core.set_now(start_ns)

    def wait(self, attempts: float) -> None:
        """Until so many periods after the start of the run."""
        self.now_ns = max(self.now_ns, START_NS + int(attempts * PERIOD_NS))


def station(
    ring_log2: int = 8,
    boot_count: int = 1,
    boot_ns: int = BOOT_NS,
    running: bool = True,
    settings: HeraldSettings = SETTINGS,
    hardware: HeraldHardware | None = None,
    **changes: Any,
) -> Wire:
    """A configured station, with its run begun when `running`."""
    core = herald_core.HeraldCore(
        serial_number=1,
        boot_count=boot_count,
        boot_ns=boot_ns,
        hardware=hardware or HeraldHardware(ring_log2=ring_log2),
        **changes,
    )
    wire = Wire(core)
    wire.configure(settings)
    if running:
        wire.begin(settings.control())
    return wire


def click(wire: Wire, attempt: int, after_ns: int = 104) -> int:
    """The light of a success in an attempt; the outcome at the herald pins."""
    wire.now_ns = max(wire.now_ns, START_NS + attempt * PERIOD_NS + after_ns)
    outcome = wire.core.click(START_NS + attempt * PERIOD_NS + after_ns, 0, 1, wire.now_ns)
    wire.endpoint.pump()
    return int(outcome)


def light(wire: Any, periods: int, after_ns: int = 104) -> int:
    """The light of a success so many periods after the start, and the outcome at the pins."""
    at_ns = START_NS + periods * PERIOD_NS + after_ns
    wire.now_ns = max(wire.now_ns, at_ns)
    return int(wire.core.click(at_ns, 0, 1, at_ns))
