# ruff: noqa: N802 - the names are those of the maker's library
"""What stands for the module `Swabian.TimeTagger` where there is no Time Tagger: same names, same parameters.

Owns the part of the library that our driver uses, over instruments of swabian_device.py. Names, parameters,
numbers and texts of errors are compared with the real library by tests/judges/test_swabian.py; what its
measurements do cannot be compared without an instrument. Refuses what needs one: virtual taggers, files. None
of the maker's code is in it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import IntEnum, IntFlag

from bellwire.simulator_backend.devices.swabian_device import SwabianDevice
from bellwire.simulator_backend.devices.swabian_measurements import (
    Coincidences,
    Correlation,
    Counter,
    IteratorBase,
    TagType,
    TimeTagStream,
    TimeTagStreamBuffer,
    VirtualChannels,
)

CHANNEL_UNUSED = -134217728
USB_ERROR = "Got the USB error 'Failed' in 'OpenBySerial' in line 187."
FIRMWARE = "2.22.6 (stand-in)"


class ChannelEdge(IntFlag):
    """Which channels a list shall hold."""

    All = 0
    Rising = 1
    Falling = 2
    HighResAll = 4
    StandardAll = 8


class CoincidenceTimestamp(IntEnum):
    """Whose time a coincidence gets."""

    Last = 0
    Average = 1
    First = 2
    ListedFirst = 3


class Resolution(IntEnum):
    """Modes of the instrument."""

    Standard = 0
    HighResA = 1
    HighResB = 2
    HighResC = 3


class TimeTaggerBase(VirtualChannels):
    """What a tagger on USB and one behind a server have in common."""

    def __init__(self, device: SwabianDevice) -> None:
        super().__init__(device)

    def getSerial(self) -> str:
        return self._device().serial_number

    def getModel(self) -> str:
        return self._device().model

    def getFirmwareVersion(self) -> str:
        return FIRMWARE

    def getDACRange(self) -> list[float]:
        return list(self._device().range_v)

    def getChannelList(self, type: int = ChannelEdge.All) -> list[int]:
        rising = list(range(1, self._device().inputs + 1))
        falling = [-channel for channel in rising]
        edge = int(type) & 3
        return rising if edge == 1 else falling if edge == 2 else rising + falling

    def setTriggerLevel(self, channel: int, voltage: float) -> None:
        self._checked(channel).set_level(channel, voltage)

    def getTriggerLevel(self, channel: int) -> float:
        return self._checked(channel).level(channel)

    def setInputDelay(self, channel: int, delay: int) -> None:
        self._checked(channel).set_delay(channel, delay)

    def getInputDelay(self, channel: int) -> int:
        return self._checked(channel).delay(channel)

    def setTestSignal(self, channel: int | Sequence[int], enabled: bool) -> None:
        for one in [channel] if isinstance(channel, int) else channel:
            self._checked(one).set_tested(one, enabled)

    def getTestSignal(self, channel: int) -> bool:
        return self._checked(channel).is_tested(channel)

    def getOverflows(self) -> int:
        return self._device().overflows

    def clearOverflows(self) -> None:
        self._device().overflows = 0

    def getOverflowsAndClear(self) -> int:
        found = self.getOverflows()
        self.clearOverflows()
        return found

    def _checked(self, channel: int) -> SwabianDevice:
        if not self._device().has(channel):
            raise ValueError(f"Channel {channel} is not available on this device.")
        return self._device()


class TimeTagger(TimeTaggerBase):
    """A tagger on USB."""

    def reset(self) -> None:
        self._device().reset()


class TimeTaggerNetwork(TimeTaggerBase):
    """A tagger behind a server."""

    def isConnected(self) -> bool:
        return self.device.attached and self.device.served

    def getOverflowsClient(self) -> int:
        return self.getOverflows()


_OnUsb = TimeTagger
_OnNetwork = TimeTaggerNetwork
_Either = TimeTaggerBase


class StandIn:
    """The module: its functions see `devices` on USB and `servers` by HOST:PORT; its classes are above."""

    ChannelEdge = ChannelEdge
    Coincidences = Coincidences
    CoincidenceTimestamp = CoincidenceTimestamp
    Correlation = Correlation
    Counter = Counter
    IteratorBase = IteratorBase
    Resolution = Resolution
    TagType = TagType
    TimeTagger = TimeTagger
    TimeTaggerBase = TimeTaggerBase
    TimeTaggerNetwork = TimeTaggerNetwork
    TimeTagStream = TimeTagStream
    TimeTagStreamBuffer = TimeTagStreamBuffer
    CHANNEL_UNUSED = CHANNEL_UNUSED

    def __init__(
        self,
        devices: Sequence[SwabianDevice] = (),
        servers: Mapping[str, SwabianDevice] | None = None,
    ) -> None:
        self._devices = list(devices)
        self._servers = dict(servers or {})

    def createTimeTagger(self, serial: str = "", resolution: int = Resolution.Standard) -> _OnUsb:
        """Opening over USB brings the instrument to its start-up state."""
        if resolution not in set(Resolution):
            names = ", ".join(f"'Resolution.{one.name}'" for one in list(Resolution)[:-1])
            last = f"'Resolution.{list(Resolution)[-1].name}'"
            raise ValueError(f"Wrong resolution parameter provided. Please use either {names}, or {last}.")
        free = [device for device in self._devices if device.attached and not device.in_use]
        for device in free:
            if serial in ("", device.serial_number):
                device.in_use = True
                device.reset()
                return _OnUsb(device)
        if serial:
            raise RuntimeError(
                f"Time Tagger with serial {serial} not attached or already in use. {USB_ERROR}"
            )
        raise RuntimeError(f"No Time Tagger attached or already in use. {USB_ERROR}")

    def createTimeTaggerNetwork(self, address: str = "localhost:41101") -> _OnNetwork:
        """A server keeps the settings of its instrument."""
        place = address if ":" in address else f"{address}:41101"
        device = self._servers.get(place)
        if device is None or not (device.attached and device.served):
            raise RuntimeError(f"Could not connect to Time Tagger server at {place}.")
        return _OnNetwork(device)

    def freeTimeTagger(self, tagger: _Either) -> None:
        """The instrument may be opened again."""
        tagger.device.in_use = False

    def scanTimeTagger(self, include_model_name: bool = False) -> tuple[str, ...]:
        """Serial numbers of what could be opened."""
        return tuple(
            f"{device.serial_number} {device.model}" if include_model_name else device.serial_number
            for device in self._devices
            if device.attached and not device.in_use
        )
