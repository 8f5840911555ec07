"""What instruments show of light on average: click rates, photon rates, power.

Owns means over the same tables from which tags are drawn. Refuses chance.
"""

from __future__ import annotations

from bellwire.simulator_backend.photons.converter import Converter
from bellwire.simulator_backend.photons.jones import state_of
from bellwire.simulator_backend.photons.laws import counted_rate_hz, photon_power_w, photon_rate_hz
from bellwire.simulator_backend.photons.light import samplers
from bellwire.simulator_backend.photons.optics import Optics
from bellwire.simulator_backend.photons.samplers import Rate
from bellwire.simulator_backend.photons.sinks import Detector
from bellwire.simulator_backend.photons.sources import Emitter, Laser, PairSource


def click_rate_hz(optics: Optics, detector: str) -> float:
    """Expected clicks per second. A detector whose clicks would come too fast latches, and shows none."""
    part = optics.parts[detector]
    assert isinstance(part, Detector)
    pulsed: list[Rate] = []
    steady_hz = 0.0
    for sampler in samplers(optics):
        rate = sampler.rates().get(detector)
        if rate is not None:
            steady_hz += rate.steady_hz
            if rate.pulse_clicks > 0.0:
                pulsed.append(rate)
    silent, period_ps = 1.0, pulsed[0].period_ps if pulsed else 1.0
    for rate in pulsed:
        if rate.period_ps == period_ps:
            silent *= 1.0 - rate.pulse_clicks
        else:  # of another clock: at any time, seen from the first
            steady_hz += rate.pulse_clicks / rate.period_ps * 1e12
    counted_hz = counted_rate_hz(1.0 - silent, period_ps, steady_hz, part.dead_ps, part.afterpulsing)
    if counted_hz > part.latch_rate_hz:
        optics.latch(detector)
        return 0.0
    return counted_hz


def _means(optics: Optics, end: str) -> list[tuple[float, float]]:
    """(photons per second, wavelength) of all light that reaches an end, whatever it does there."""
    means = []
    for name, part in optics.parts.items():
        if not isinstance(part, (PairSource, Emitter, Laser, Converter)):
            continue
        settings = optics.settings[name]
        for output in part.outputs:
            for route in optics.routes(name, output):
                if route.sink != end:
                    continue
                passed = route.jones.conj().T @ route.jones
                unpolarised = float(passed.trace().real) / 2.0
                if isinstance(part, Laser):
                    state = state_of(part.polarisation)
                    emitted = photon_rate_hz(settings["power_w"], part.wavelength_nm)
                    seen = float((state.conj() @ passed @ state).real)
                elif isinstance(part, PairSource):
                    emitted = part.pair_rate_hz(settings) * part.coupling_amplitude(output) ** 2
                    psi = part.amplitudes()
                    reduced = psi @ psi.conj().T if output == "signal" else psi.T @ psi.conj()
                    seen = float((passed @ reduced).trace().real)
                elif isinstance(part, Emitter):
                    emitted, seen = part.emitted(settings) / part.period_ps * 1e12, unpolarised
                else:
                    emitted, seen = part.noise_rate_hz(settings), unpolarised
                means.append((emitted * seen, route.wavelength_nm))
    return means


def photon_hz(optics: Optics, end: str) -> float:
    """Photons per second at an end, before its efficiency."""
    return sum(rate_hz for rate_hz, _ in _means(optics, end))


def power_w(optics: Optics, end: str) -> float:
    """Power of all light at an end."""
    return sum(photon_power_w(rate_hz, wavelength_nm) for rate_hz, wavelength_nm in _means(optics, end))
