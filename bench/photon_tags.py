"""Time tags of an emulated lab: how much faster than real time they are drawn on one core.

What is timed: `OpticalBench.tags` in pieces of 20 ms, in CPU time of this process, at about a million clicks
a second in each of eight detectors with dead time and jitter. Four kinds of light: pulsed pairs, pairs under
a continuous pump, a Bell-state analyser between two entangled pulsed sources (two-photon interference, one
table of 256 patterns), and detectors with afterpulses. Drift of a fibre's polarisation is on in the third, so
that its table is made anew ten times a second.

Usage: python bench/photon_tags.py [SECONDS]  ->  bench/results/photon_tags.json
"""

import sys
import time

from _measure import peak_memory_mb, surroundings, write_result

from bellwire.simulator_backend.photons.layout import BenchLayout, Part
from bellwire.simulator_backend.photons.optical_bench import OpticalBench
from bellwire.simulator_backend.photons.passive import BeamSplitter, Fibre, PolarisingSplitter
from bellwire.simulator_backend.photons.sinks import Detector
from bellwire.simulator_backend.photons.sources import PairSource

PS_PER_S = 10**12
PIECE_PS = PS_PER_S // 50
WARM_PIECES = 5

Wires = list[tuple[str, str]]


def four_sources(source: PairSource, afterpulsing: float = 0.0) -> OpticalBench:
    """Four sources with a detector at each arm."""
    parts: dict[str, Part] = {}
    wires: Wires = []
    for k in range(4):
        parts[f"source_{k}"] = source
        for arm, output in enumerate(source.outputs):
            name = f"detector_{k}{arm}"
            parts[name] = Detector(channel=2 * k + arm, afterpulsing=afterpulsing)
            wires.append((f"source_{k}.{output}", name))
    return OpticalBench(BenchLayout(parts, tuple(wires)), 1)


def swapping_station() -> OpticalBench:
    """Two entangled sources: their signals meet at a Bell-state analyser, their idlers are analysed."""
    source = PairSource(period_ps=10_000, pump_mw=3.8, entangled="psi_minus", schmidt_number=1.05)
    parts: dict[str, Part] = {
        "left": source,
        "right": source,
        "fibre": Fibre(length_km=0.1, wander_rad_per_root_s=0.02),
        "splitter": BeamSplitter(mode_match=0.98),
    }
    wires: Wires = [
        ("left.signal", "fibre"),
        ("fibre", "splitter.a"),
        ("right.signal", "splitter.b"),
    ]
    ways = {"left": "left.idler", "right": "right.idler", "c": "splitter.c", "d": "splitter.d"}
    for k, (side, start) in enumerate(ways.items()):
        parts[f"pbs_{side}"] = PolarisingSplitter()
        wires.append((start, f"pbs_{side}"))
        for arm, port in enumerate("hv"):
            parts[f"{side}_{port}"] = Detector(channel=2 * k + arm)
            wires.append((f"pbs_{side}.{port}", f"{side}_{port}"))
    return OpticalBench(BenchLayout(parts, tuple(wires)), 1)


def measure(what: str, bench: OpticalBench, simulated_s: float) -> dict[str, object]:
    """One row: clicks per second and detector, and real time over CPU time."""
    at_ps = 0
    for _ in range(WARM_PIECES):
        bench.tags(at_ps, at_ps + PIECE_PS)
        at_ps += PIECE_PS
    count, pieces = 0, round(simulated_s * PS_PER_S / PIECE_PS)
    began_ns = time.process_time_ns()
    for _ in range(pieces):
        count += len(bench.tags(at_ps, at_ps + PIECE_PS).time_ps)
        at_ps += PIECE_PS
    cpu_s = (time.process_time_ns() - began_ns) / 1e9
    return {
        "light": what,
        "channels": 8,
        "mcps_per_channel": round(count / simulated_s / 8e6, 2),
        "simulated_s": simulated_s,
        "cpu_s": round(cpu_s, 2),
        "real_time_over_cpu": round(simulated_s / cpu_s, 2),
        "ns_per_tag": round(1e9 * cpu_s / count, 1),
    }


def main() -> None:
    """Measure and write the table."""
    simulated_s = float(sys.argv[1]) if len(sys.argv) > 1 else 5.0
    pulsed = PairSource(period_ps=13_000, pump_mw=1.85)
    rows = [
        measure("pulsed pairs, 77 MHz", four_sources(pulsed), simulated_s),
        measure("pairs under a continuous pump", four_sources(PairSource(pump_mw=1.8)), simulated_s),
        measure("two entangled sources at a Bell-state analyser, drifting", swapping_station(), simulated_s),
        measure("pulsed pairs, afterpulsing 2 %", four_sources(pulsed, 0.02), simulated_s),
    ]
    write_result(
        "photon_tags",
        "Time tags of the optical World on one core, numpy alone",
        "python bench/photon_tags.py",
        rows,
        f"CPU time of one process, {surroundings()}; peak memory {peak_memory_mb():.0f} MB.",
    )
    for row in rows:
        print(row)


if __name__ == "__main__":
    main()
