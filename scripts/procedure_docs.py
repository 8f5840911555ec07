"""Write the table of procedures in docs/calibration.md, so that it cannot promise what does not exist.

Owns what stands between the two marks of that page. Names, needs, validity and settings are the procedures'
own; limits in the sentences come from the modules that check them. Refuses a procedure without a sentence.

Usage: python scripts/procedure_docs.py [--check]    --check writes nothing, exits 1 when the page is stale
"""

import dataclasses
import functools
import sys
from collections.abc import Mapping
from pathlib import Path

from bellwire.calibration.bench import LinkBench
from bellwire.calibration.estimates import hom as dip
from bellwire.calibration.estimates import link_quality, paddle_search, photon_statistics, plateau
from bellwire.calibration.procedure import Procedure
from bellwire.calibration.procedures import (
    arm_delay,
    clock,
    darks,
    dead_time,
    detector_delays,
    detector_efficiency,
    detector_jitter,
    memory_lifetime,
    oven_scan,
)
from bellwire.calibration.table import procedures
from bellwire.labs import load_lab

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "calibration.md"
BEGIN = "<!-- procedures: written by scripts/procedure_docs.py -->"
END = "<!-- end of procedures -->"
HERE = "bellwire.calibration.procedures."
COMMON = ("name", "meaning", "needs", "valid_for_s")
LABS = ("entangled_photons", "optics_double_click")
"""Shipped labs with a `calibration` section of either kind."""

MARGIN = f"paddles not in the outer {paddle_search.MARGIN:.0%} of their range"
ACCEPTS = {
    "detector_bias": f"slope of the plateau; bias {plateau.SHARE_LOW:.0%} to {plateau.SHARE_HIGH:.0%} of the "
    "switching current",
    "references": "White Rabbit in TRACK_PHASE, updates rising, offset below 100 ps; PPS one second apart "
    "within 1e-9, none missing or double",
    "darks": f"every detector <= {darks.DARK_HZ_MAX:g}/s",
    "oven_scan": "the best temperature within the scan, known to the hold limit; "
    f"points within {oven_scan.SCATTER_MAX:.0%} of the curve",
    "dead_time": f"afterpulses <= {dead_time.AFTERPULSING_MAX:.0%}; the notch empty; within 10 % of the "
    "last record",
    "clock": f"peak >= {clock.SIGNIFICANCE_MIN:g} sigma, more where many offsets were tried; residual "
    "<= 0.2 of half the window",
    "detector_delays": f"residual <= {detector_delays.RESIDUAL_MAX_PS:g} ps, and "
    f"<= {detector_delays.RESIDUAL_SIGMAS_MAX:g} of its errors",
    "window": "a peak as of jitters; bins finer than a third of the jitter; >= 75 % of the pairs within it",
    "source_power": "singles linear within 5 %; accidentals as of the singles; CAR >= the setting `car_min`",
    "detector_efficiency": "light of measured power: efficiency >= the setting `efficiency_min`, both ways "
    f"as stated within {detector_efficiency.WAYS_SIGMAS_MAX:g} sigma; pairs: every arm within 0..1",
    "detector_jitter": "FWHM <= the setting `fwhm_max_ps` (pairs: its lower end), Gaussian peaks; pairs: "
    f"joint jitters as sums of two within {detector_jitter.MISFIT_SIGMAS_MAX:g} sigma",
    "photon_statistics": f"upper end of heralded g2(0) < {photon_statistics.G2_MAX:g}, no more triples than "
    f"several pairs give by {photon_statistics.SIGMAS_MAX:g} sigma; g2 without heralds not below 1",
    "polarisation": f"errors in Z and X <= the setting `error_max`; {MARGIN}",
    "reference_polarisation": f"errors in Z and X of each arm <= the setting `error_max`; {MARGIN}",
    "converter_scan": "signal over noise >= the setting `snr_min`; points on the curve of efficiency",
    "arm_delay": f"residual <= {arm_delay.RESIDUAL_MAX_PS:g} ps; the line not in the outer 5 % of its range",
    "hom": f"visibility >= the setting `visibility_min`, its lower end > {dip.CLASSICAL_BOUND:g}; the dip "
    "as wide as expected, within the scan",
    "bsm_patterns": "Psi+ and Psi- alike, and visibility as of the HOM scan, within 3 sigma",
    "herald_rate": "heralds counted >= the setting `heralds_min`",
    "memory_lifetime": f"not below what the lab file says by more than {memory_lifetime.BELOW:g} sigma; one "
    f"law fits; at most {memory_lifetime.LOST_MAX:.0%} of the states lost",
    "link_quality": f"errors in Z and X <= {link_quality.BBM92_LIMIT:g}",
    "bell_test": "S > 2 by 3 sigma, and not above 2.828 by more than 4",
    "tomography": "lower end of the fidelity >= the setting `fidelity_min`; concurrence above 0; one state "
    "fits all settings; fidelity not below the bound of `link_quality` by more than 3 sigma; no doubt which "
    "way the plates turn",
}
APPLIES = {
    "detector_bias": "the bias of every detector",
    "oven_scan": "the set point of the source's oven",
    "source_power": "the power of the source's pump",
    "polarisation": "the paddles of the second arm",
    "reference_polarisation": "the paddles of every arm",
    "converter_scan": "oven, pump power and emission of every converter",
    "arm_delay": "the delay line",
    "hom": "the delay line",
}


@functools.cache
def benches() -> Mapping[str, list[LinkBench]]:
    """Links of shipped labs by their kind."""
    found: dict[str, list[LinkBench]] = {}
    for name in LABS:
        lab = load_lab(ROOT / "lab_configs" / f"{name}.yaml")
        for link in lab.network.links:
            bench = lab.calibration_bench(link)
            if bench is not None:
                found.setdefault(bench.kind, []).append(bench)
    return found


def span(seconds: float) -> str:
    """How long a result holds."""
    return f"{seconds / 86_400:g} d" if seconds >= 2 * 86_400 else f"{seconds / 3_600:g} h"


def settings(procedure: Procedure) -> str:
    """The fields that may be set from Python, with their usual values."""
    if not dataclasses.is_dataclass(procedure):
        return ""
    fields = [one for one in dataclasses.fields(procedure) if one.name not in COMMON]
    told = {one.name: getattr(procedure, one.name) for one in fields}
    return ", ".join(f"`{name}` {value:g}" for name, value in told.items() if isinstance(value, int | float))


def row(procedure: Procedure, kinds: Mapping[str, list[LinkBench]]) -> str:
    """The line of one procedure. Raises SystemExit for one that nobody has described."""
    name = procedure.name
    if name not in ACCEPTS:
        raise SystemExit(f"say in ACCEPTS of scripts/procedure_docs.py what {name} accepts")
    able = [kind for kind, links in kinds.items() if any(procedure.obstacle(one) is None for one in links)]
    cells = (
        f"`{name}`",
        procedure.meaning,
        ", ".join(procedure.needs) or "-",
        ", ".join(able) or "-",
        ACCEPTS[name],
        APPLIES.get(name, "-"),
        span(procedure.valid_for_s),
        settings(procedure) or "-",
    )
    return f"| {' | '.join(cells)} |\n"


def table() -> str:
    """Everything between the marks."""
    known = procedures()
    own = {name: one for name, one in known.items() if type(one).__module__.startswith(HERE)}
    gone = sorted((ACCEPTS.keys() | APPLIES.keys()) - own.keys())
    if gone:
        raise SystemExit(f"scripts/procedure_docs.py describes {', '.join(gone)}, which is no procedure")
    text = "\n| procedure | measures | needs | links | accepted when | sets | holds | settings in Python |\n"
    text += "|---|---|---|---|---|---|---|---|\n"
    kinds = benches()
    return text + "".join(row(one, kinds) for one in own.values()) + "\n"


def page() -> str:
    """The whole page with the table as it should be. Raises SystemExit when its marks are missing."""
    before, begin, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise SystemExit(f"{PAGE.name} has lost its marks: {BEGIN} and {END}")
    return before + BEGIN + "\n" + table() + END + after


def main() -> int:
    wanted = page()
    if "--check" in sys.argv[1:]:
        if PAGE.read_text(encoding="utf-8") == wanted:
            return 0
        print(f"{PAGE.name} is stale: run python scripts/procedure_docs.py")
        return 1
    PAGE.write_text(wanted, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
