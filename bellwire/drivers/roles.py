"""What link and calibration code asks an instrument for: roles as typed interfaces, units in the names.

Owns the interfaces. A device implements one or more roles; a composite (source, station, converter)
implements one through several devices. Refuses makes: nothing here knows who built an instrument. All
methods are coroutines and raise the faults of faults.py; a set returns after its read-back.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from bellwire.drivers.time_tags import Counts, TagBlock


@runtime_checkable
class PumpLaser(Protocol):
    """Light that drives a source or a converter; power at the laser's output."""

    async def set_emission(self, on: bool) -> None: ...

    async def read_emission(self) -> bool: ...

    async def set_power_mw(self, power_mw: float) -> None: ...

    async def read_power_mw(self) -> float: ...


@runtime_checkable
class CurrentLaser(Protocol):
    """A diode that is set by its current, because its controller knows no power."""

    async def set_emission(self, on: bool) -> None: ...

    async def read_emission(self) -> bool: ...

    async def set_current_ma(self, current_ma: float) -> None: ...

    async def read_current_ma(self) -> float: ...


@runtime_checkable
class Oven(Protocol):
    """The temperature of a crystal."""

    async def set_temperature_c(self, temperature_c: float) -> None: ...

    async def read_temperature_set_c(self) -> float: ...

    async def read_temperature_c(self) -> float: ...

    async def set_heating(self, on: bool) -> None: ...

    async def read_heating(self) -> bool: ...


@runtime_checkable
class PhotonSource(Protocol):
    """A source of photon pairs, whatever is inside."""

    async def set_emission(self, on: bool) -> None: ...

    async def read_emission(self) -> bool: ...

    async def set_operating_point(self, pump: float, crystal_temperature_c: float) -> None:
        """Pump in the unit of its laser (`pump_unit`), and the crystal's temperature; returns when both are
        reached."""
        ...

    @property
    def pump_unit(self) -> str: ...


@runtime_checkable
class FrequencyConverter(Protocol):
    """A waveguide that shifts photons to another wavelength."""

    async def set_emission(self, on: bool) -> None: ...

    async def set_pump(self, value: float) -> None:
        """Pump in the unit of the last stage (`pump_unit`)."""
        ...

    @property
    def pump_unit(self) -> str: ...

    async def set_crystal_temperature_c(self, temperature_c: float) -> None: ...

    async def is_settled(self) -> bool: ...


@runtime_checkable
class SinglePhotonDetectors(Protocol):
    """Detectors with a bias current and a trigger level each, numbered from 1."""

    @property
    def channels(self) -> Sequence[int]: ...

    async def set_bias_ua(self, channel: int, bias_ua: float) -> None: ...

    async def read_bias_ua(self, channel: int) -> float: ...

    async def set_trigger_mv(self, channel: int, level_mv: float) -> None: ...

    async def read_trigger_mv(self, channel: int) -> float: ...

    async def set_enabled(self, on: bool) -> None: ...

    async def read_enabled(self) -> bool: ...

    async def read_rates_hz(self) -> Mapping[int, float]: ...


@runtime_checkable
class TimeTagger(Protocol):
    """Time tags and counts of numbered inputs."""

    @property
    def channels(self) -> Sequence[int]: ...

    async def set_threshold_mv(self, channel: int, level_mv: float) -> None: ...

    async def read_threshold_mv(self, channel: int) -> float: ...

    async def set_delay_ps(self, channel: int, delay_ps: int) -> None: ...

    async def read_delay_ps(self, channel: int) -> int: ...

    async def count(self, window_s: float) -> Counts:
        """Singles of all channels over one window that begins now."""
        ...

    def tags(self) -> AsyncGenerator[TagBlock, None]:
        """Blocks of tags from now on, without gaps; what was lost is in each block's `lost`."""
        ...


@runtime_checkable
class CoincidenceCounter(Protocol):
    """Coincidences counted in the instrument itself."""

    async def set_window_ns(self, window_ns: float) -> None: ...

    async def read_window_ns(self) -> float: ...

    async def count_coincidences(self, window_s: float) -> Mapping[tuple[int, ...], int]:
        """Coincidences of each pattern of channels over one window that begins now."""
        ...


@runtime_checkable
class TimingController(Protocol):
    """A generator of triggers and gates."""

    async def set_trigger_rate_hz(self, rate_hz: float) -> None: ...

    async def read_trigger_rate_hz(self) -> float: ...

    async def start_triggers(self) -> None: ...

    async def stop_triggers(self) -> None: ...


@runtime_checkable
class PulsePlayer(Protocol):
    """A generator of programmed patterns on digital channels."""

    async def play(self, patterns: Mapping[int, Sequence[tuple[int, int]]], repeats: int) -> None:
        """For each channel, (duration in ns, level 0 or 1) steps; `repeats` -1 = for ever."""
        ...

    async def stop(self) -> None: ...

    async def is_playing(self) -> bool: ...


@runtime_checkable
class PolarizationController(Protocol):
    """Paddles, numbered from 1."""

    @property
    def paddles(self) -> Sequence[int]: ...

    async def set_angle_deg(self, paddle: int, angle_deg: float) -> None: ...

    async def read_angle_deg(self, paddle: int) -> float: ...

    async def home(self) -> None: ...


@runtime_checkable
class DelayLine(Protocol):
    """An optical delay that moves."""

    @property
    def range_ps(self) -> tuple[float, float]: ...

    async def set_delay_ps(self, delay_ps: float) -> None: ...

    async def read_delay_ps(self) -> float: ...

    async def home(self) -> None: ...


@runtime_checkable
class OpticalSwitch(Protocol):
    """A matrix of fibres: ingress ports to egress ports, as the maker numbers them."""

    async def connect_ports(self, ingress: int, egress: int) -> None: ...

    async def disconnect_ports(self, ingress: int) -> None: ...

    async def read_connections(self) -> Mapping[int, int]: ...


@runtime_checkable
class PowerMeter(Protocol):
    """Optical power at one wavelength."""

    async def set_wavelength_nm(self, wavelength_nm: float) -> None: ...

    async def read_wavelength_nm(self) -> float: ...

    async def read_power_w(self) -> float: ...


@dataclass(frozen=True, slots=True)
class ClockStanding:
    """How a clock follows its reference. `updates` must grow between two looks, else the rest is old."""

    locked: bool
    offset_ps: int
    round_trip_ps: int
    updates: int


@runtime_checkable
class ClockReference(Protocol):
    """A clock that is disciplined from elsewhere."""

    async def read_clock(self) -> ClockStanding: ...


@runtime_checkable
class BellStateAnalyzer(Protocol):
    """Decides attempts and reports their outcomes; see herald_fpga.py for the records."""

    async def start_run(self, run_short: int, epoch_s: int) -> None: ...

    async def stop(self) -> None: ...


@runtime_checkable
class QuantumMemory(Protocol):
    """Slots that attempt, hold, measure and release qubits; see memory_controller.py for the operations."""

    async def read_status(self) -> object: ...

    async def release(self, slot: int) -> None: ...


ROLES: Mapping[str, type] = {
    "pump_laser": PumpLaser,
    "current_laser": CurrentLaser,
    "oven": Oven,
    "photon_source": PhotonSource,
    "frequency_converter": FrequencyConverter,
    "detectors": SinglePhotonDetectors,
    "time_tagger": TimeTagger,
    "coincidence_counter": CoincidenceCounter,
    "timing": TimingController,
    "pulse_player": PulsePlayer,
    "polarization_controller": PolarizationController,
    "delay_line": DelayLine,
    "optical_switch": OpticalSwitch,
    "power_meter": PowerMeter,
    "clock_reference": ClockReference,
    "herald": BellStateAnalyzer,
    "memory": QuantumMemory,
}
"""Role by the name that cards and lab files use."""
