"""Emulated Toptica DLC pro with one DL pro laser head: command line, monitoring line, discovery
(instruments.md section 4.1).

Owns the dialect of the three ports. Subscriptions and the user level belong to a port here, not to each of
its clients. What the fields of the discovery answer mean beyond serial number, label, address and ports is
guessed. The laser itself is dlc_pro_laser.py.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Callable

from bellwire.core.errors import LocalMisuse
from bellwire.drivers.decop import (
    BANNER,
    COMMAND_PORT,
    DISCOVERY_PORT,
    DISCOVERY_QUESTION,
    MONITORING_PORT,
    PROMPT,
    DecopValue,
    decode,
    encode,
)
from bellwire.simulator_backend.devices.datagram_line import DatagramLine
from bellwire.simulator_backend.devices.decop_tree import INVALID, NO_ACCESS, UNKNOWN, Refusal, UserLevel
from bellwire.simulator_backend.devices.device_model import Answer, DeviceModel
from bellwire.simulator_backend.devices.dlc_pro_laser import FIRMWARE, LABEL, SYSTEM_TYPE, DlcProLaser
from bellwire.simulator_backend.devices.emulators import EmulatorOrder
from bellwire.simulator_backend.devices.faults import Fault
from bellwire.simulator_backend.devices.instrument_emulator import InstrumentEmulator
from bellwire.simulator_backend.devices.lines import TcpLine
from bellwire.simulator_backend.devices.surroundings import Wiring

ANSWER_S = 0.001
LINE_BYTES_MAX = 8192
SUBSCRIPTIONS_MAX = 256
INTERVAL_MS = 100
TICK_S = 0.05
SERIAL_NUMBER = "DLC PRO_000001"
PASSWORD = "CAUTION"
"""Of the maintenance level, as the maker's examples give it."""

NAME = r"'?(?P<name>[a-z][a-z0-9:-]*)"
REFERENCE = re.compile(rf"\((?:param-ref|param-gsv)\s+{NAME}\s*\)")
SET = re.compile(rf"\(param-set!\s+{NAME}\s+(?P<value>.+)\)")
EXECUTE = re.compile(rf"\(exec\s+{NAME}(?P<arguments>.*)\)")
DISPLAY = re.compile(rf"\(param-disp(?:\s+{NAME})?\s*\)")
LIST = re.compile(r"`\((?P<members>(?:\s*,\s*\(param-ref\s+'[a-z0-9:-]+\))+)\s*\)")
SUM = re.compile(r"\(\+\s*(?P<members>(?:\(param-set!\s+'[a-z0-9:-]+\s+[^()]+\)\s*)+)\)")
MEMBER = re.compile(r"\([^()]*\)")
ADD = re.compile(rf"\(add\s+{NAME}(?:\s+(?P<interval_ms>\d+))?(?:\s+(?P<threshold>\S+))?\s*\)")
REMOVE = re.compile(rf"\(remove\s+{NAME}\s*\)")
LEVEL = re.compile(r'\(change-ul\s+(?P<level>\d)\s+"(?P<password>[^"]*)"\s*\)')


Ports = Callable[[], tuple[int, int]]
"""Command and monitoring port; free ones are known only when the lines are open."""


class DlcProModel(DeviceModel):
    """One powered DLC pro; this is its command line. `ports`: of command and monitoring line."""

    tick_s = TICK_S

    def __init__(self, wiring: Wiring, serial_number: str, host: str, ports: Ports) -> None:
        self.level = UserLevel.NORMAL
        self.laser = DlcProLaser(wiring)
        tree = self.laser.tree
        tree.constant("serial-number", serial_number)
        tree.constant("net-conf:ip-addr", host)
        tree.shown("net-conf:cmd-port", lambda: ports()[0])
        tree.shown("net-conf:mon-port", lambda: ports()[1])
        tree.shown("ul", lambda: int(self.level))
        self._faces = (self, _MonitoringLine(self.laser), _Discovery(serial_number, host, ports))

    def face(self, line: int) -> DeviceModel:
        return self._faces[line]

    def greeting(self, now_ns: int) -> bytes:
        return f"Welcome to DLC pro, firmware {FIRMWARE}\r\n\r\n{BANNER}\r\n> ".encode("ascii")

    def split(self, buffer: bytearray) -> list[bytes]:
        return _lines(buffer)

    def changes(self, request: bytes) -> bool:
        return b"param-set!" in request or b"exec" in request

    def execute(self, request: bytes, now_ns: int) -> list[Answer]:
        self.laser.now(now_ns)
        try:
            text = self._evaluate(request.decode("utf-8", "replace").strip())
        except Refusal as refusal:
            text = str(refusal)
        return [Answer(text.encode() + PROMPT, ANSWER_S)]

    def acknowledges(self, request: bytes) -> list[Answer]:
        return [Answer(b"0" + PROMPT, ANSWER_S)]

    def unasked(self, now_ns: int) -> bytes:
        return b"0" + PROMPT

    def tick(self, now_ns: int) -> list[Answer]:
        self.laser.now(now_ns)
        return []

    def afflict(self, fault: Fault, on: bool, now_ns: int) -> None:
        self.laser.now(now_ns)
        if fault is Fault.INTERLOCK:
            self.laser.open_interlock(on)
        elif fault is Fault.DRIFT:
            self.laser.drift(on)
        else:
            raise LocalMisuse(f"a DLC pro has no {fault.value}")

    def _evaluate(self, line: str) -> str:
        tree = self.laser.tree
        if found := REFERENCE.fullmatch(line):
            return encode(tree.value(found["name"]))
        if found := SUM.fullmatch(line):
            return str(sum(self._set(member) for member in MEMBER.findall(found["members"])))
        if SET.fullmatch(line):
            return str(self._set(line))
        if found := LIST.fullmatch(line):
            members = [REFERENCE.fullmatch(member) for member in MEMBER.findall(found["members"])]
            return encode(tuple(tree.value(member["name"]) for member in members if member is not None))
        if found := EXECUTE.fullmatch(line):
            return self._execute(found["name"], found["arguments"])
        if found := DISPLAY.fullmatch(line):
            shown = sorted(name for name in tree.leaves if name.startswith(found["name"] or ""))
            return "\n".join(f"{name} = {encode(tree.value(name))}" for name in shown) + "\n0"
        raise Refusal(INVALID, "syntax error")

    def _set(self, command: str) -> int:
        found = SET.fullmatch(command)
        if found is None:
            raise Refusal(INVALID, "syntax error")
        return self.laser.tree.set(found["name"], _value(found["value"]), self.level)

    def _execute(self, name: str, arguments: str) -> str:
        if name == "change-ul":
            self.level = _level(f"(change-ul{arguments})", self.level)
            return str(int(self.level))
        if name == "system-messages:show-new":
            return "()"
        raise Refusal(UNKNOWN, "no such command")


class _MonitoringLine(DeviceModel):
    """Values that clients have subscribed to, when they change and at most once in their interval."""

    tick_s = TICK_S

    def __init__(self, laser: DlcProLaser) -> None:
        self._laser = laser
        self._level = UserLevel.NORMAL
        self._subscriptions: dict[str, tuple[int, float]] = {}
        self._told: dict[str, tuple[int, DecopValue]] = {}

    def split(self, buffer: bytearray) -> list[bytes]:
        return _lines(buffer)

    def changes(self, request: bytes) -> bool:
        return False

    def execute(self, request: bytes, now_ns: int) -> list[Answer]:
        line = request.decode("utf-8", "replace").strip()
        name = "COMMAND_ERROR"
        try:
            if found := ADD.fullmatch(line):
                name = found["name"]
                return self._add(name, found["interval_ms"], found["threshold"], now_ns)
            if found := REMOVE.fullmatch(line):
                self._subscriptions.pop(found["name"], None)
                return []
            if LEVEL.fullmatch(line):
                self._level = _level(line, self._level)
                return []
            raise Refusal(INVALID, "syntax error")
        except Refusal as refusal:
            told = f"(Error: {refusal.number} ({_stamp(now_ns)} '{name}) {refusal.text})\r\n"
            return [Answer(told.encode("ascii"))]

    def tick(self, now_ns: int) -> list[Answer]:
        self._laser.now(now_ns)
        return [
            answer
            for name, (interval_ms, threshold) in self._subscriptions.items()
            if (answer := self._changed(name, interval_ms, threshold, now_ns)) is not None
        ]

    def _add(self, name: str, interval_ms: str | None, threshold: str | None, now_ns: int) -> list[Answer]:
        self._laser.now(now_ns)
        value = self._laser.tree.value(name)
        if len(self._subscriptions) >= SUBSCRIPTIONS_MAX:
            raise Refusal(INVALID, "too many subscriptions")
        least = 0.0 if threshold is None else _value(threshold)
        if isinstance(least, bool) or not isinstance(least, int | float):
            raise Refusal(INVALID, "invalid argument")
        self._subscriptions[name] = (INTERVAL_MS if interval_ms is None else int(interval_ms), float(least))
        self._told[name] = (now_ns, value)
        return [Answer(_news(name, value, now_ns))]

    def _changed(self, name: str, interval_ms: int, threshold: float, now_ns: int) -> Answer | None:
        told_ns, told = self._told[name]
        value = self._laser.tree.value(name)
        if value == told or now_ns - told_ns < interval_ms * 1_000_000:
            return None
        if isinstance(value, float) and isinstance(told, float) and abs(value - told) < threshold:
            return None
        self._told[name] = (now_ns, value)
        return Answer(_news(name, value, now_ns), solicited=False)


class _Discovery(DeviceModel):
    """Who is there, by UDP."""

    def __init__(self, serial_number: str, host: str, ports: Ports) -> None:
        shown = (serial_number, SYSTEM_TYPE, "", FIRMWARE, "", LABEL)
        quoted = " ".join(f'"{one}"' for one in shown)
        self._identity = f'{quoted} 0 "{host}"'
        self._ports = ports

    def split(self, buffer: bytearray) -> list[bytes]:
        request = bytes(buffer)
        buffer.clear()
        return [request] if request.strip() == DISCOVERY_QUESTION else []

    def changes(self, request: bytes) -> bool:
        return False

    def execute(self, request: bytes, now_ns: int) -> list[Answer]:
        command, monitoring = self._ports()
        return [Answer(f"({self._identity} {command} {monitoring})".encode("ascii"))]


def _lines(buffer: bytearray) -> list[bytes]:
    *lines, rest = bytes(buffer).split(b"\n")
    buffer[:] = rest if len(rest) <= LINE_BYTES_MAX else b""
    return [line for line in lines if line.strip()]


def _value(text: str) -> DecopValue:
    try:
        return decode(text.strip().removeprefix("'"))
    except ValueError:
        raise Refusal(INVALID, "invalid argument") from None


def _level(command: str, present: UserLevel) -> UserLevel:
    """The level that a client asked for; the present one when the password is wrong."""
    found = LEVEL.fullmatch(command)
    if found is None or int(found["level"]) > UserLevel.READONLY:
        raise Refusal(INVALID, "invalid argument")
    wanted = UserLevel(int(found["level"]))
    if wanted in (UserLevel.NORMAL, UserLevel.READONLY):
        return wanted
    if wanted is UserLevel.MAINTENANCE:
        return wanted if found["password"] == PASSWORD else present
    raise Refusal(NO_ACCESS, "access denied")


def _stamp(now_ns: int) -> str:
    at = datetime.datetime.fromtimestamp(now_ns / 1e9, datetime.UTC)
    return f"{at:%Y-%m-%dT%H:%M:%S}.{at.microsecond // 1000:03d}Z"


def _news(name: str, value: DecopValue, now_ns: int) -> bytes:
    return f"({_stamp(now_ns)} '{name} {encode(value)})\r\n".encode()


def make(order: EmulatorOrder) -> InstrumentEmulator:
    """A DLC pro. One with the command port of the maker has the maker's other ports too, and so needs a
    loopback address of its own; others have free ones, told by `net-conf:mon-port`.
    """
    command = order.tcp(COMMAND_PORT)
    own = command.port == COMMAND_PORT
    monitoring = TcpLine(MONITORING_PORT if own else 0, command.host)
    discovery = DatagramLine(DISCOVERY_PORT if own else 0, command.host)

    def ports() -> tuple[int, int]:
        return command.port, monitoring.port

    def powered() -> DlcProModel:
        return DlcProModel(order.wiring, order.serial_number or SERIAL_NUMBER, command.host, ports)

    return InstrumentEmulator(
        order.name, powered, [command, monitoring, discovery], pace=order.pace, seed=order.seed
    )
