"""Names, ranges and gauges of a bench; descriptions that make no sense."""

from math import sqrt

import pytest

from bellwire.core.errors import ConfigError, LocalMisuse
from bellwire.simulator_backend.photons.converter import Converter
from bellwire.simulator_backend.photons.layout import BenchLayout
from bellwire.simulator_backend.photons.optical_bench import OpticalBench
from bellwire.simulator_backend.photons.passive import (
    Analyser,
    Attenuator,
    BeamSplitter,
    DelayLine,
    Fibre,
    Filter,
    Paddles,
    PolarisingSplitter,
    Switch,
)
from bellwire.simulator_backend.photons.sinks import Absorber, Detector, PowerMeter
from bellwire.simulator_backend.photons.sources import Emitter, Laser, PairSource
from tests.simulator_backend.photons.counting import bench_of

EVERYTHING = {
    "source": PairSource(),
    "memory": Emitter(),
    "laser": Laser(power_w=1e-6),
    "fibre": Fibre(length_km=1.0),
    "line": DelayLine(),
    "paddles": Paddles(),
    "plate": Analyser(),
    "dim": Attenuator(),
    "filter": Filter(),
    "switch": Switch(ports=2),
    "bs": BeamSplitter(),
    "pbs": PolarisingSplitter(),
    "qfc": Converter(),
    "snspd": Detector(channel=1),
    "other": Detector(channel=2),
    "store": Absorber(),
    "meter": PowerMeter(),
}
WIRES = (
    "source.signal > fibre", "fibre > line", "line > paddles", "paddles > bs.a", "bs.c > snspd",
    "memory > bs.b", "bs.d > store",
    "laser > plate", "plate > dim", "dim > filter", "filter > switch.in_1", "switch.out_1 > meter",
    "source.idler > qfc", "qfc > pbs", "pbs.h > other",
)  # fmt: skip


def test_every_gauge_of_every_component_can_be_read_and_every_knob_turned():
    bench = bench_of(EVERYTHING, *WIRES)
    for name, knob in bench.knobs().items():
        bench.turn(name, knob.start, 0)
        assert bench.gauge(name, 0) == knob.start
        assert knob.low <= knob.start <= knob.high
        assert knob.meaning
    for name, gauge in bench.gauges().items():
        assert isinstance(bench.gauge(name, 0), float), name
        assert gauge.meaning
    assert set(bench.knobs()) < set(bench.gauges())
    assert {"source.pump_mw", "source.oven_c", "line.position_ps", "paddles.angle_1_deg"} <= set(
        bench.knobs()
    )
    assert {"switch.route_1", "snspd.bias_ua"} <= set(bench.knobs())
    assert {"meter.power_w", "snspd.count_hz"} <= set(bench.gauges())


def test_unknown_names_are_refused_with_the_nearest_one():
    bench = bench_of(EVERYTHING, *WIRES)
    with pytest.raises(ConfigError, match=r'did you mean "source.pump_mw"'):
        bench.turn("source.pump_mv", 1.0, 0)
    with pytest.raises(ConfigError, match=r'did you mean "meter.power_w"'):
        bench.gauge("meter.power", 0)
    with pytest.raises(LocalMisuse, match=r"outside 0..170"):
        bench.turn("paddles.angle_1_deg", 171.0, 0)


def test_a_power_meter_shows_what_reaches_it():
    bench = bench_of(EVERYTHING, *WIRES)
    bench.turn("dim.loss_db", 3.0, 0)
    # 1 uW behind 3 dB, a filter at its centre of 0.5 dB and a switch of 1 dB.
    assert bench.gauge("meter.power_w", 0) == pytest.approx(1e-6 * 10 ** (-0.45))
    bench.turn("switch.route_1", 2.0, 0)
    assert bench.gauge("meter.power_w", 0) == pytest.approx(1e-6 * 10 ** (-0.45) * 10 ** (-5.5))
    bench.turn("switch.route_1", 0.0, 0)
    assert bench.gauge("meter.power_w", 0) == 0.0


def test_a_polarising_splitter_and_a_plate_share_the_power_as_malus_says():
    parts = {"laser": Laser(power_w=1e-3), "plate": Analyser(), "pbs": PolarisingSplitter(extinction=1e-3)}
    parts |= {"h": PowerMeter(), "v": PowerMeter(zero_w=1e-9)}
    bench = bench_of(parts, "laser > plate", "plate > pbs", "pbs.h > h", "pbs.v > v")
    for angle_deg, share in ((0.0, 1.0), (15.0, 0.75), (22.5, 0.5), (45.0, 0.0)):
        bench.turn("plate.angle_deg", angle_deg, 0)
        h = share * 0.999 + (1.0 - share) * 1e-3
        assert bench.gauge("h.power_w", 0) == pytest.approx(1e-3 * h)
        assert bench.gauge("v.power_w", 0) == pytest.approx(1e-3 * (1.0 - h) + 1e-9)


def test_two_benches_of_one_seed_drift_alike():
    def powers(seed):
        parts = {"laser": Laser(power_w=1e-3), "fibre": Fibre(wander_rad_per_root_s=1.0)}
        parts |= {"pbs": PolarisingSplitter(), "meter": PowerMeter()}
        bench = bench_of(parts, "laser > fibre", "fibre > pbs", "pbs.h > meter", seed=seed)
        return [bench.gauge("meter.power_w", k * 10**9) for k in range(5)]

    assert powers(3) == powers(3)
    assert powers(3)[0] == powers(4)[0]
    assert powers(3)[1] != powers(4)[1]


@pytest.mark.parametrize(
    ("wires", "message"),
    [
        ((("laser", "fibr"),), 'did you mean "fibre"'),
        ((("bs.e", "fibre"),), '"bs" has no output "e"'),
        ((("bs", "fibre"),), '"bs" has no output ""'),
        ((("laser", "bs.a"), ("fibre", "bs.a")), 'input "bs.a" is joined twice'),
        ((("laser", "bs.a"), ("laser", "fibre")), 'output "laser" is joined twice'),
        ((("fibre", "line"), ("line", "fibre")), "light goes in a loop: "),
        ((("laser", "source"),), '"source" has no input'),
    ],
)
def test_wires_that_make_no_sense_are_refused(wires, message):
    with pytest.raises(ConfigError, match=message):
        OpticalBench(BenchLayout(EVERYTHING, wires), 1)


def test_two_detectors_of_one_channel_are_refused():
    with pytest.raises(ConfigError, match='"a" and "b" both have channel 5'):
        OpticalBench(BenchLayout({"a": Detector(channel=5), "b": Detector(channel=5)}, ()), 1)


def test_a_bench_of_splitters_behind_splitters_is_refused_before_it_fills_the_memory():
    parts = {f"bs{k}": BeamSplitter() for k in range(12)}
    parts |= {"laser": Laser(), "d": PowerMeter()}
    wires = ["laser > bs0.a", "bs11.c > d"]
    for k in range(11):
        wires += [f"bs{k}.c > bs{k + 1}.a", f"bs{k}.d > bs{k + 1}.b"]
    bench = bench_of(parts, *wires)
    with pytest.raises(LocalMisuse, match="more than 256 ways"):
        bench.gauge("d.power_w", 0)


def test_memories_and_their_photons_show_at_a_receiver():
    bench = bench_of(EVERYTHING, *WIRES)
    bench.turn("source.pump_mw", 0.0, 0)
    # Half of 0.5 photons per attempt of 10 us.
    assert bench.gauge("store.photon_hz", 0) == pytest.approx(0.25 / 10e-6)
    assert bench.gauge("fibre.delay_ps", 0) == 5_000_000
    assert bench.gauge("source.pair_rate_hz", 0) == 0.0
    assert sqrt(bench.gauge("qfc.efficiency", 0)) == pytest.approx(sqrt(0.67 * 0.69))
