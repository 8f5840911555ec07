"""Emulated Thorlabs PM100D, PM100USB and PM400 with an InGaAs sensor (instruments.md section 5.8).

Owns the law of the meter: photocurrent, ranges, noise, averaging, zero. The power on the sensor is the gauge
`power_w` of the World. The wavelength of the light is the gauge `wavelength_nm`, where a lab wires it; else
the light is what the meter is set to.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from functools import partial
from typing import ClassVar

from bellwire.core.errors import LocalMisuse
from bellwire.simulator_backend.devices.device_model import Answer
from bellwire.simulator_backend.devices.emulators import EmulatorOrder
from bellwire.simulator_backend.devices.faults import Fault
from bellwire.simulator_backend.devices.instrument_emulator import InstrumentEmulator
from bellwire.simulator_backend.devices.scpi_core import ScpiDevice
from bellwire.simulator_backend.devices.scpi_parameters import Boolean, Choice, Number, Whole
from bellwire.simulator_backend.devices.scpi_tree import Command
from bellwire.simulator_backend.devices.surroundings import Wiring

PORT = 5025
SERIAL_NUMBER = "P0012345"
FIRMWARE = "2.8.0"
ELECTRON_C = 1.602176634e-19
PHOTON_NM = 1239.841984
"""h c / e in V nm: the responsivity of an ideal diode is wavelength over this, in A/W."""

QUANTUM_EFFICIENCY = 0.8
WAVELENGTH_MIN_NM, WAVELENGTH_MAX_NM = 800.0, 1700.0
RANGES_A = (5e-8, 5e-7, 5e-6, 5e-5, 5e-4, 5e-3)
RANGE_NOISE = 2e-5
"""Standard deviation of one sample, as a share of the full scale."""

OFFSET_A = 4e-11
DRIFT_A_PER_S = 1e-10
SAMPLE_NS = 3_000_000
ZEROING_NS = 2_000_000_000
OVER_RANGE = 9.9e37
NOT_A_NUMBER = 9.91e37

_WAVELENGTH = Number(unit="NM", minimum=WAVELENGTH_MIN_NM, maximum=WAVELENGTH_MAX_NM)
_AVERAGES = Whole(minimum=1, maximum=10_000, default=1)
_LOSS = Number(unit="DB", minimum=-60.0, maximum=60.0, default=0.0)
_BEAM = Number(unit="MM", minimum=0.1, maximum=500.0, default=9.5)
_RANGE = Number(unit="W", minimum="range_min_w", maximum="range_max_w")


def responsivity_a_per_w(wavelength_nm: float) -> float:
    """Photocurrent for each watt."""
    return QUANTUM_EFFICIENCY * wavelength_nm / PHOTON_NM


class Pm100Model(ScpiDevice):
    """One powered meter with its sensor: watts, auto range, one sample a reading, not zeroed.

    `pace` multiplies the time that zeroing takes.
    """

    commands: ClassVar[tuple[Command, ...]] = (
        Command("SYSTem:SENSor:IDN?", "identify_sensor"),
        Command("[SENSe]:CORRection:WAVelength", "set_wavelength", (_WAVELENGTH,)),
        Command("[SENSe]:CORRection:WAVelength?", "read_wavelength", limits=_WAVELENGTH),
        Command("[SENSe]:CORRection[:LOSS[:INPut[:MAGNitude]]]", "set_loss", (_LOSS,)),
        Command("[SENSe]:CORRection[:LOSS[:INPut[:MAGNitude]]]?", "read_loss", limits=_LOSS),
        Command("[SENSe]:CORRection:BEAMdiameter", "set_beam", (_BEAM,)),
        Command("[SENSe]:CORRection:BEAMdiameter?", "read_beam", limits=_BEAM),
        Command("[SENSe]:CORRection:COLLect:ZERO[:INITiate]", "begin_zeroing"),
        Command("[SENSe]:CORRection:COLLect:ZERO:ABORt", "abort_zeroing"),
        Command("[SENSe]:CORRection:COLLect:ZERO:STATe?", "is_zeroing"),
        Command("[SENSe]:CORRection:COLLect:ZERO:MAGNitude?", "read_zero"),
        Command("[SENSe]:AVERage[:COUNt]", "set_averages", (_AVERAGES,)),
        Command("[SENSe]:AVERage[:COUNt]?", "read_averages", limits=_AVERAGES),
        Command("[SENSe]:POWer[:DC]:RANGe[:UPPer]", "set_range", (_RANGE,)),
        Command("[SENSe]:POWer[:DC]:RANGe[:UPPer]?", "read_range", limits=_RANGE),
        Command("[SENSe]:POWer[:DC]:RANGe:AUTO", "set_auto_range", (Boolean(),)),
        Command("[SENSe]:POWer[:DC]:RANGe:AUTO?", "read_auto_range"),
        Command("[SENSe]:POWer[:DC]:UNIT", "set_unit", (Choice(words=("W", "DBM")),)),
        Command("[SENSe]:POWer[:DC]:UNIT?", "read_unit"),
        Command("CONFigure[:SCALar][:POWer]", "configure_power"),
        Command("CONFigure[:SCALar]:CURRent[:DC]", "configure_current"),
        Command("CONFigure?", "read_configuration"),
        Command("MEASure[:SCALar][:POWer]?", "measure_power"),
        Command("MEASure[:SCALar]:CURRent[:DC]?", "measure_current"),
        Command("INITiate[:IMMediate]", "begin"),
        Command("ABORt", "abort"),
        Command("FETCh?", "fetch"),
        Command("READ?", "read_anew"),
    )

    def __init__(
        self,
        wiring: Wiring,
        *,
        model: str = "PM100D",
        serial_number: str = SERIAL_NUMBER,
        pace: float = 1.0,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.identity = f"Thorlabs,{model},{serial_number},{FIRMWARE}"
        self.zero_a = 0.0
        self._wiring = wiring
        self._chance = random.Random(seed)
        self._zeroing_ns = int(ZEROING_NS * pace)
        self._arrived_ns = 0
        self._drifting_since_ns: int | None = None
        self._drifted_a = 0.0
        self._zeroed_at_ns: int | None = None
        self._zeroing_a = 0.0
        self.reset()

    def reset(self) -> None:
        self.wavelength_nm = 1550.0
        self.loss_db = 0.0
        self.beam_mm = 9.5
        self.averages = 1
        self.auto_range = True
        self.range_a = RANGES_A[-1]
        self.unit = "W"
        self.configuration = "POW"
        self._last: float | None = None

    def execute(self, request: bytes, now_ns: int) -> list[Answer]:
        """As every SCPI device; light is looked at when the message comes, not when its answer is ready."""
        self._arrived_ns = now_ns
        self._end_zeroing(now_ns)
        return super().execute(request, now_ns)

    def afflict(self, fault: Fault, on: bool, now_ns: int) -> None:
        if fault is not Fault.DRIFT:
            raise LocalMisuse(f"a power meter has no {fault.value}")
        self._drifted_a = self._offset_a(now_ns) - OFFSET_A
        self._drifting_since_ns = now_ns if on else None

    def next_error(self) -> str:
        """SYSTem:ERRor? with a sign, as the maker prints it."""
        error = super().next_error()
        return error if error.startswith("-") else f"+{error}"

    # -- law of the meter -----------------------------------------------------------------------------------

    @property
    def range_min_w(self) -> float:
        """Full scale of the most sensitive range."""
        return self._watts(RANGES_A[0])

    @property
    def range_max_w(self) -> float:
        """Full scale of the least sensitive range."""
        return self._watts(RANGES_A[-1])

    def current_a(self) -> float:
        """What the sensor and its amplifier give at present, without noise."""
        words = self._wiring
        light_nm = 0.0
        if not words.names or "wavelength_nm" in words.names:
            light_nm = words.gauge("wavelength_nm", self._arrived_ns)
        power_w = words.gauge("power_w", self._arrived_ns)
        return power_w * responsivity_a_per_w(light_nm or self.wavelength_nm) + self._offset_a(
            self._arrived_ns
        )

    def noise_a(self, current_a: float) -> float:
        """Standard deviation of one sample: amplifier noise of the range, and shot noise of the current.

        Shot noise: 2 e I B, where a mean over a time T has the bandwidth B = 1 / (2 T).
        """
        bandwidth_hz = 1e9 / (2 * SAMPLE_NS)
        shot_a2 = 2 * ELECTRON_C * abs(current_a) * bandwidth_hz
        return math.hypot(RANGE_NOISE * self.range_a, math.sqrt(shot_a2))

    def _sample(self, count: int) -> float:
        """The mean of so many samples, in A; NaN when it is over the range."""
        current_a = self.current_a()
        if self.auto_range:
            self.range_a = next((full for full in RANGES_A if abs(current_a) <= full), RANGES_A[-1])
        if abs(current_a) > self.range_a:
            return math.nan
        return self._chance.gauss(current_a, self.noise_a(current_a) / math.sqrt(count))

    def _watts(self, current_a: float) -> float:
        gain: float = 10.0 ** (self.loss_db / 10)
        return current_a / responsivity_a_per_w(self.wavelength_nm) * gain

    def _offset_a(self, now_ns: int) -> float:
        since_ns = self._drifting_since_ns
        drift_s = 0.0 if since_ns is None else (now_ns - since_ns) / 1e9
        return OFFSET_A + self._drifted_a + DRIFT_A_PER_S * drift_s

    def _measure(self, kind: str) -> float:
        self.now_ns += self.averages * SAMPLE_NS
        sampled_a = self._sample(self.averages)
        if math.isnan(sampled_a):
            return OVER_RANGE
        if kind == "CURR":
            return sampled_a - self.zero_a
        power_w = self._watts(sampled_a - self.zero_a)
        if self.unit == "W":
            return power_w
        return 10 * math.log10(power_w) + 30 if power_w > 0 else NOT_A_NUMBER

    # -- measurement ----------------------------------------------------------------------------------------

    def measure_power(self) -> float:
        """MEASure:POWer?"""
        self.configuration = "POW"
        return self.read_anew()

    def measure_current(self) -> float:
        """MEASure:CURRent?"""
        self.configuration = "CURR"
        return self.read_anew()

    def configure_power(self) -> None:
        """CONFigure:POWer"""
        self.configuration = "POW"

    def configure_current(self) -> None:
        """CONFigure:CURRent"""
        self.configuration = "CURR"

    def read_configuration(self) -> str:
        """CONFigure?"""
        return self.configuration

    def begin(self) -> None:
        """INITiate"""
        self._last = self._measure(self.configuration)

    def abort(self) -> None:
        """ABORt: nothing goes on between two messages."""

    def fetch(self) -> float:
        """FETCh?: the last reading, or the first one."""
        return self.read_anew() if self._last is None else self._last

    def read_anew(self) -> float:
        """READ?"""
        self._last = self._measure(self.configuration)
        return self._last

    # -- zero -----------------------------------------------------------------------------------------------

    def begin_zeroing(self) -> None:
        """What the sensor sees from now on is taken for darkness."""
        self._zeroing_a = self._sample(ZEROING_NS // SAMPLE_NS)
        self._zeroed_at_ns = self.busy_until_ns = self.now_ns + self._zeroing_ns

    def abort_zeroing(self) -> None:
        """The zero stays as it was."""
        self._zeroed_at_ns = None
        self.busy_until_ns = self.now_ns

    def is_zeroing(self) -> bool:
        """Whether zeroing goes on."""
        return self._zeroed_at_ns is not None

    def read_zero(self) -> float:
        """The zero in W."""
        return self._watts(self.zero_a)

    def _end_zeroing(self, now_ns: int) -> None:
        if self._zeroed_at_ns is not None and now_ns >= self._zeroed_at_ns:
            self._zeroed_at_ns = None
            if not math.isnan(self._zeroing_a):
                self.zero_a = self._zeroing_a

    # -- settings -------------------------------------------------------------------------------------------

    def identify_sensor(self) -> str:
        """Name, serial number, calibration, type, subtype, flags: power, response and wavelength settable."""
        return "S154C,170512105,14-Mar-2024,1,18,49"

    def set_wavelength(self, wavelength_nm: float) -> None:
        """In nm."""
        self.wavelength_nm = wavelength_nm

    def read_wavelength(self) -> float:
        """In nm."""
        return self.wavelength_nm

    def set_loss(self, loss_db: float) -> None:
        """In dB."""
        self.loss_db = loss_db

    def read_loss(self) -> float:
        """In dB."""
        return self.loss_db

    def set_beam(self, diameter_mm: float) -> None:
        """In mm; it matters for power densities only."""
        self.beam_mm = diameter_mm

    def read_beam(self) -> float:
        """In mm."""
        return self.beam_mm

    def set_averages(self, count: int) -> None:
        """Samples in a reading."""
        self.averages = count

    def read_averages(self) -> int:
        """Samples in a reading."""
        return self.averages

    def set_range(self, power_w: float) -> None:
        """The most sensitive range that can show the power; no auto range any more."""
        self.auto_range = False
        self.range_a = next(
            (full for full in RANGES_A if power_w <= self._watts(full) * (1 + 1e-9)), RANGES_A[-1]
        )

    def read_range(self) -> float:
        """Full scale in W."""
        return self._watts(self.range_a)

    def set_auto_range(self, on: bool) -> None:
        """Off keeps the present range."""
        self.auto_range = on

    def read_auto_range(self) -> bool:
        """Whether the meter chooses its range."""
        return self.auto_range

    def set_unit(self, unit: str) -> None:
        """W or DBM."""
        self.unit = unit

    def read_unit(self) -> str:
        """W or DBM."""
        return self.unit


def make(order: EmulatorOrder, model: str = "PM100D") -> InstrumentEmulator:
    """A power meter on TCP, VXI-11 or HiSLIP, whatever the address says."""
    return InstrumentEmulator(
        order.name,
        partial(
            Pm100Model,
            order.wiring,
            model=model,
            serial_number=order.serial_number or SERIAL_NUMBER,
            pace=order.pace,
            seed=order.seed,
        ),
        [order.messages(PORT)],
        pace=order.pace,
        seed=order.seed,
    )


make_pm400: Callable[[EmulatorOrder], InstrumentEmulator] = partial(make, model="PM400")
make_pm100usb: Callable[[EmulatorOrder], InstrumentEmulator] = partial(make, model="PM100USB")
