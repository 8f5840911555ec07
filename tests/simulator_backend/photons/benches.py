"""Benches and detectors that several tests use, and laws of theirs written anew."""

from math import erf, log, sin

from bellwire.simulator_backend.photons.heralding import DoubleClickLink, SingleClickLink
from bellwire.simulator_backend.photons.passive import (
    Analyser,
    BeamSplitter,
    DelayLine,
    Fibre,
    Paddles,
    PolarisingSplitter,
)
from bellwire.simulator_backend.photons.sinks import Detector
from bellwire.simulator_backend.photons.sources import Emitter
from tests.simulator_backend.photons.counting import bench_of

PERIOD_PS = 10_000


def detector(channel, efficiency=0.8, **truth):
    """No dead time and little jitter, unless told: pulses are told apart."""
    return Detector(
        channel=channel, efficiency=efficiency, **({"dead_ps": 0.0, "jitter_fwhm_ps": 20.0} | truth)
    )


def seen(efficiency=0.8, share=0.9):
    """Detector efficiency at that share of the switching current: erf law, knee 0.7, width 0.1."""
    return efficiency * (1.0 + erf((share - 0.7) / 0.1)) / 2.0


def sinc_squared(offset_k, fwhm_k):
    x = 1.3915573782515103 * 2.0 * offset_k / fwhm_k
    return 1.0 if x == 0.0 else (sin(x) / x) ** 2


WINDOW_NS = 1_000.0
LINK = DoubleClickLink(emitters=("a", "b"), ports=(("ch", "cv"), ("dh", "dv")), window_ns=WINDOW_NS)
PERFECT = {"efficiency": 1.0, "knee": 0.1, "dead_ps": 0.0}


def dark_hz(probability, window_ns=WINDOW_NS):
    """Rate of which a window holds a dark count with that probability."""
    return -log(1.0 - probability) / (window_ns * 1e-9)


def station(emission_a=0.3, emission_b=0.2, coherence=0.9, dark=0.0, seed=1, **more):
    """Two memories at a polarising analyser; `more` replaces parts. Short lifetimes."""
    parts = {
        "a": Emitter(emission=emission_a, coherence=coherence, lifetime_ps=1_000.0),
        "b": Emitter(emission=emission_b, coherence=coherence, lifetime_ps=1_000.0),
        "line": DelayLine(insertion_loss_db=0.0, range_ps=1e5),
        "turn": Fibre(),
        "paddles": Paddles(insertion_loss_db=0.0),
        "bs": BeamSplitter(),
        "pbs_c": PolarisingSplitter(extinction=0.0),
        "pbs_d": PolarisingSplitter(extinction=0.0),
        **{
            name: Detector(channel=k, dark_hz=dark_hz(dark), **PERFECT)
            for k, name in enumerate(("ch", "cv", "dh", "dv"))
        },
        **more,
    }
    wires = (
        "a > line", "line > turn", "turn > paddles", "paddles > bs.a", "b > bs.b", "bs.c > pbs_c",
        "bs.d > pbs_d", "pbs_c.h > ch", "pbs_c.v > cv", "pbs_d.h > dh", "pbs_d.v > dv",
    )  # fmt: skip
    return bench_of(parts, *wires, seed=seed)


def one_click_station(emission, dark, seed=1, window_ns=WINDOW_NS, **emitter):
    memory = Emitter(emission=emission, coherence=0.9, lifetime_ps=1_000.0, polarisation="H", **emitter)
    dark = {"dark_hz": dark_hz(dark, window_ns)} | PERFECT
    parts = {"a": memory, "b": memory, "plate": Analyser(), "bs": BeamSplitter()}
    parts |= {name: Detector(channel=k, **dark) for k, name in enumerate("cd")}
    wires = ("a > plate", "plate > bs.a", "b > bs.b", "bs.c > c", "bs.d > d")
    return bench_of(parts, *wires, seed=seed)


def one_click(alpha, window_ns=WINDOW_NS):
    return SingleClickLink(
        emitters=("a", "b"), detectors=("c", "d"), alpha=(alpha, alpha), window_ns=window_ns
    )
