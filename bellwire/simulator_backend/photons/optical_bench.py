"""The optical truth of a lab, as emulated instruments meet it: knobs, gauges, tags, heralds.

Owns names and time at the border: unknown names are refused with the nearest one, values beyond a knob's
range as well. Refuses physics (the rooms beside it) and instruments (their emulators call this).

One bench has two times' worth of state: the present, which gauges and heralds show, and the light that the
tag stream has drawn so far, which may lag behind. Both follow the same turns and the same weather.
"""

from __future__ import annotations

import numpy as np
from numpy.random import SeedSequence, default_rng
from numpy.typing import NDArray

from bellwire.core.errors import LocalMisuse
from bellwire.core.photonics import HeraldPhysics
from bellwire.core.registry import lookup
from bellwire.simulator_backend.photons.clock import Clock, PulsePerSecond, RunningClock, named_key
from bellwire.simulator_backend.photons.converter import Converter
from bellwire.simulator_backend.photons.elements import Gauge, Knob
from bellwire.simulator_backend.photons.expected import click_rate_hz, photon_hz, power_w
from bellwire.simulator_backend.photons.heralding import HeraldedLink, herald_physics
from bellwire.simulator_backend.photons.layout import BenchLayout
from bellwire.simulator_backend.photons.optics import Optics
from bellwire.simulator_backend.photons.passive import Fibre
from bellwire.simulator_backend.photons.sinks import Absorber, Detector, PowerMeter
from bellwire.simulator_backend.photons.sources import PairSource
from bellwire.simulator_backend.photons.tag_stream import Tags, TagStream

PS_PER_NS = 1_000


class OpticalBench:
    """A graph of components with hidden truth. Times in ns of one true clock; tags in ps from `epoch_ns`."""

    def __init__(self, layout: BenchLayout, seed: int, *, epoch_ns: int = 0) -> None:
        """The same layout, seed and calls give the same bench. epoch_ns: when it was built; ps since then.

        Raises:
            ConfigError: the layout makes no sense.
        """
        weather, chance, times = SeedSequence(seed).spawn(3)
        self._present = Optics(layout, weather)
        light = Optics(layout, weather)
        self._stream = TagStream(light, default_rng(chance))
        self._epoch_ns = epoch_ns
        self._now_ns = epoch_ns
        self._reset_ps: dict[str, int] = {}
        self.clocks = {
            name: RunningClock(part, epoch_ns, named_key(times, name))
            for name, part in layout.components.items()
            if isinstance(part, Clock)
        }
        self._pulses = {
            name: (part, int(named_key(times, name).generate_state(1)[0]))
            for name, part in layout.components.items()
            if isinstance(part, PulsePerSecond)
        }
        self._knobs: dict[str, Knob] = {
            f"{name}.{knob.name}": knob for name, part in layout.components.items() for knob in part.knobs()
        }
        self._gauges: dict[str, Gauge] = {
            name: Gauge(name, knob.unit, knob.meaning) for name, knob in self._knobs.items()
        }
        for name, part in layout.components.items():
            self._gauges |= {f"{name}.{gauge.name}": gauge for gauge in part.gauges()}

    # --- knobs and gauges ----------------------------------------------------------------------------------

    def knobs(self) -> dict[str, Knob]:
        """What can be turned, by `component.knob`, with unit, meaning and range."""
        return dict(self._knobs)

    def gauges(self) -> dict[str, Gauge]:
        """What can be read, by `component.gauge`; every knob is a gauge too."""
        return dict(self._gauges)

    @property
    def counters(self) -> dict[str, int]:
        """Events of the tag stream: `turns_early`, `gaps`."""
        return dict(self._stream.counters)

    def turn(self, knob: str, value: float, now_ns: int) -> None:
        """Turn a knob; light that is emitted from now on follows.

        Raises:
            ConfigError: no such knob. LocalMisuse: a value beyond its range, or a time before the last one.
        """
        known = lookup("knob", knob, self._knobs)
        if not known.low <= value <= known.high:
            raise LocalMisuse(
                f"{knob} = {value} {known.unit} is outside {known.low:g}..{known.high:g}, where it stops"
            )
        self._advance(now_ns)
        part, _, name = knob.partition(".")
        self._present.turn(part, name, value)
        self._stream.turn((now_ns - self._epoch_ns) * PS_PER_NS, part, name, value)
        detector = self._present.parts[part]
        if isinstance(detector, Detector) and value < detector.retrap_ua:
            self._reset_ps[part] = (now_ns - self._epoch_ns) * PS_PER_NS

    def gauge(self, name: str, now_ns: int) -> float:
        """What a gauge shows now, in its unit.

        Raises:
            ConfigError: no such gauge. LocalMisuse: a time before the last one.
        """
        lookup("gauge", name, self._gauges)
        self._advance(now_ns)
        part_name, _, gauge = name.partition(".")
        settings = self._present.settings[part_name]
        if gauge in settings:
            return settings[gauge]
        part = self._present.parts[part_name]
        match part, gauge:
            case Detector(), "count_hz":
                return click_rate_hz(self._present, part_name)
            case Detector(), "latched":
                return float(part_name in self._present.latched)
            case Detector(), "efficiency":
                return self._present.efficiency(part_name)
            case Detector(), "dark_hz":
                return part.present_dark_hz(settings)
            case PowerMeter(), "power_w":
                return part.zero_w + part.response * power_w(self._present, part_name)
            case Absorber(), "photon_hz":
                return photon_hz(self._present, part_name)
            case Clock(), "lead_ps":
                return float(self.clocks[part_name].lead_ps(np.array([self._age_ps()], np.int64))[0])
            case Clock(), "rate_ppb":
                return self.clocks[part_name].rate_ppb(self._age_ps())
            case Fibre(), "delay_ps":
                return part.delay_ps(self._present.drift(part_name))
            case Fibre(), "warming_k":
                return self._present.drift(part_name).warming_k
            case PairSource(), "pair_rate_hz":
                return part.pair_rate_hz(settings)
            case PairSource(), "pairs_per_pulse":
                return part.pairs_per_pulse(settings)
            case Converter(), "efficiency":
                return part.efficiency(settings)
            case Converter(), "noise_hz":
                return part.noise_rate_hz(settings)
            case _:
                raise LocalMisuse(f"gauge {name} stands in the table, but nobody reads it")

    # --- light ---------------------------------------------------------------------------------------------

    def tags(self, start_ps: int, stop_ps: int) -> Tags:
        """Tags in [start_ps, stop_ps) from the epoch. Calls that join go on with one realisation; a gap
        between them is skipped (counter `gaps`).

        Raises:
            LocalMisuse: times go backwards, or far too many tags for one call.
        """
        tags = self._stream.take(start_ps, stop_ps)
        for detector, latched_ps in self._stream.latched_ps.items():
            reset_ps = self._reset_ps.get(detector)
            if detector not in self._present.latched and (reset_ps is None or latched_ps >= reset_ps):
                self._present.latch(detector)
        return tags

    def seconds(self, name: str, start_ps: int, stop_ps: int) -> NDArray[np.int64] | None:
        """Edges of a pulse per second in [start_ps, stop_ps) from the epoch, in order; None: it is none."""
        pulse = self._pulses.get(name)
        return None if pulse is None else pulse[0].edges(self._epoch_ns, start_ps, stop_ps, pulse[1])

    def heralds(self, link: HeraldedLink, now_ns: int) -> HeraldPhysics:
        """Success probability per attempt and heralded states, as `World.change_link` takes them."""
        self._advance(now_ns)
        return herald_physics(self._present, link)

    def _age_ps(self) -> int:
        return (self._now_ns - self._epoch_ns) * PS_PER_NS

    def _advance(self, now_ns: int) -> None:
        if now_ns < self._now_ns:
            raise LocalMisuse(f"time {now_ns} ns is before {self._now_ns} ns, which was told already")
        self._now_ns = now_ns
        self._present.at_age(now_ns - self._epoch_ns)
