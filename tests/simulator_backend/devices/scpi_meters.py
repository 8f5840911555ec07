"""A small SCPI instrument for the tests of the engine and of its transports; it is nobody's product."""

from typing import ClassVar

from bellwire.simulator_backend.devices.scpi_core import ScpiDevice
from bellwire.simulator_backend.devices.scpi_errors import ScpiError
from bellwire.simulator_backend.devices.scpi_parameters import (
    Block,
    Boolean,
    Channels,
    Choice,
    Number,
    Text,
    Whole,
)
from bellwire.simulator_backend.devices.scpi_tree import Command

WAVELENGTH = Number(unit="M", minimum=400e-9, maximum="wavelength_max_m", default=1550e-9)
SWEEP_NS = 50_000_000


class Meter(ScpiDevice):
    """A power meter with two outputs, a memory and a sweep that takes 50 ms."""

    identity = "bellwire,Meter,000123,1.0"
    wavelength_max_m = 1700e-9
    commands: ClassVar[tuple[Command, ...]] = (
        Command("[SENSe]:CORRection:WAVelength", "set_wavelength", (WAVELENGTH,)),
        Command("[SENSe]:CORRection:WAVelength?", "read_wavelength", limits=WAVELENGTH),
        Command("MEASure[:SCALar][:POWer]?", "measure"),
        Command(
            "SOURce#:VOLTage[:LEVel]",
            "set_voltage",
            (Number(unit="V", minimum=-10.0, maximum=10.0),),
            ((1, 2),),
        ),
        Command("SOURce#:VOLTage[:LEVel]?", "read_voltage", suffixes=((1, 2),)),
        Command("OUTPut#[:STATe]", "switch", (Boolean(),), ((1, 2),)),
        Command("OUTPut#[:STATe]?", "read_switch", suffixes=((1, 2),)),
        Command("TRIGger:SOURce", "set_source", (Choice(words=("INTernal", "EXTernal", "BUS")),)),
        Command("TRIGger:SOURce?", "read_source"),
        Command("TRIGger:COUNt", "set_count", (Whole(minimum=1, maximum=1000),)),
        Command("TRIGger:COUNt?", "read_count"),
        Command("POWer:ATTenuation", "set_power", (Number(unit="W", maximum=1.0),)),
        Command("POWer:ATTenuation?", "read_power"),
        Command("FREQuency", "set_frequency", (Number(unit="HZ"),)),
        Command("FREQuency?", "read_frequency"),
        Command("DISPlay:TEXT", "set_text", (Text(characters_max=20), Boolean(optional=True))),
        Command("DISPlay:TEXT?", "read_text"),
        Command("ROUTe:CLOSe", "close_channels", (Channels(first=1, last=8),)),
        Command("ROUTe:CLOSe?", "read_closed"),
        Command("MEMory", "store", (Block(octets_max=1 << 20),)),
        Command("MEMory?", "recall"),
        Command("SWEep", "sweep"),
        Command("FAIL", "refuse"),
    )

    def __init__(self) -> None:
        super().__init__()
        self.triggers = 0
        self.reset()

    def reset(self) -> None:
        self.wavelength_m = 1550e-9
        self.voltages_v = {1: 0.0, 2: 0.0}
        self.switches = {1: False, 2: False}
        self.source = "INT"
        self.count = 1
        self.power_w = 0.0
        self.frequency_hz = 0.0
        self.text = ""
        self.closed: tuple[int, ...] = ()
        self.memory = b""

    def trigger(self) -> None:
        if self.source != "BUS":
            raise ScpiError(-211)
        self.triggers += 1

    def set_wavelength(self, wavelength_m: float) -> None:
        self.wavelength_m = wavelength_m

    def read_wavelength(self) -> float:
        return self.wavelength_m

    def measure(self) -> float:
        return 1.25e-3

    def set_voltage(self, output: int, voltage_v: float) -> None:
        self.voltages_v[output] = voltage_v

    def read_voltage(self, output: int) -> float:
        return self.voltages_v[output]

    def switch(self, output: int, on: bool) -> None:
        self.switches[output] = on

    def read_switch(self, output: int) -> bool:
        return self.switches[output]

    def set_source(self, source: str) -> None:
        self.source = source

    def read_source(self) -> str:
        return self.source

    def set_count(self, count: int) -> None:
        self.count = count

    def read_count(self) -> int:
        return self.count

    def set_power(self, power_w: float) -> None:
        self.power_w = power_w

    def read_power(self) -> float:
        return self.power_w

    def set_frequency(self, frequency_hz: float) -> None:
        self.frequency_hz = frequency_hz

    def read_frequency(self) -> float:
        return self.frequency_hz

    def set_text(self, text: str, shout: bool = False) -> None:
        self.text = text.upper() if shout else text

    def read_text(self) -> str:
        return f'"{self.text}"'

    def close_channels(self, channels: tuple[int, ...]) -> None:
        self.closed = channels

    def read_closed(self) -> tuple[int, ...]:
        return self.closed

    def store(self, octets: bytes) -> None:
        self.memory = octets

    def recall(self) -> bytes:
        return self.memory

    def sweep(self) -> None:
        self.busy_until_ns = self.now_ns + SWEEP_NS

    def refuse(self) -> None:
        raise ScpiError(-221, "the sweep runs")
