"""Two nodes and one link of each architecture as labs, and what algorithms.md section 11 says they give.

Owns the grid of labs and the closed forms, written from the specification's own letters. Refuses bellwire's
physics: nothing of core/photonics.py or core/pair_sources.py is used here.
"""

from dataclasses import dataclass, field
from math import exp, log, sqrt
from typing import Any

from bellwire.labs import Lab, build_lab
from bellwire.labs.models import LabFile

ATTENUATION_LENGTH_KM = 20.0
LOSS_DB_PER_KM = 10.0 / log(10.0) / ATTENUATION_LENGTH_KM

PERFECT_MEMORY: dict[str, Any] = {
    "t1_s": None,
    "t2_s": None,
    "readout_fidelity": 1,
    "gate_fidelity": 1,
    "single_gate_fidelity": 1,
    "bsm_duration_us": 0,
}
"""Neither decay nor reading changes what the herald promised."""

NAMES = ("ann", "bob")


@dataclass(frozen=True, kw_only=True)
class LinkCase:
    """One point of the grid, in the units of a lab file."""

    architecture: str
    km: tuple[float, float]
    emission: tuple[float, float] = (0.8, 0.8)
    detector: float = 0.9
    dark: float = 0.0  # per detector (or memory) and window
    visibility: float = 1.0
    resolving: bool = False
    alpha: tuple[float, float] | None = None
    phase_rms_rad: float = 0.0
    absorption: float = 0.9  # with herald efficiency 0.9 and conversion 1
    intrinsic_fidelity: float = 1.0
    mean_pair_number: float | None = None
    intrinsic_error: float = 0.0
    link: dict[str, Any] = field(default_factory=dict)  # further keys of the link

    @property
    def name(self) -> str:
        """For the list of tests."""
        told = [f"{self.km[0]:g}+{self.km[1]:g}km", f"dark{self.dark:g}"]
        if self.architecture in ("double_click", "single_click"):
            told.append(f"V{self.visibility:g}")
        if self.alpha is not None:
            told.append(f"alpha{self.alpha[0]:g},{self.alpha[1]:g}")
        if self.mean_pair_number is not None:
            told.append(f"mu{self.mean_pair_number:g}")
        return "-".join([self.architecture, *told, *(["resolving"] if self.resolving else [])])


HERALD = 0.9
COUPLING = 0.8
WINDOW_NS = 10.0


def emulated(driver: str, name: str) -> dict[str, Any]:
    """The entry of an emulated serial instrument."""
    return {"driver": driver, "address": f"pty:{name}", "emulated": True}


def lab_of(
    case: LinkCase,
    *,
    lanes: int = 1,
    requests: tuple[dict[str, Any], ...] = (),
    memory: Any = None,
    node: Any = None,
    live: bool = False,
    station: Any = None,
) -> Lab:
    """The lab of one point of the grid. memory, node: further keys, of both nodes. live: with emulated
    instruments, and runs on whole seconds. station: further keys, which go before the others."""
    nodes: dict[str, Any] = {
        name: {
            "role": "end",
            "memory": {
                **PERFECT_MEMORY,
                "emission_efficiency": emission,
                "conversion_efficiency": 1,
                "absorption_efficiency": case.absorption,
                "herald_efficiency": HERALD,
                "herald_dark_rate_hz": case.dark / WINDOW_NS * 1e9,
                "herald_window_ns": WINDOW_NS,
                **(memory or {}),
            },
            **(node or {}),
        }
        for name, emission in zip(NAMES, case.emission, strict=True)
    }
    at_station: dict[str, Any] = {}
    if live:
        at_station["instruments"] = {"herald": emulated("herald_fpga", "mid")}
        for name, one in nodes.items():
            one["instruments"] = {"memory": emulated("memory_controller", name)}
    detectors = {
        "efficiency": case.detector,
        "dark_rate_hz": case.dark / WINDOW_NS * 1e9,
        "window_ns": WINDOW_NS,
        "visibility": case.visibility,
        "number_resolving": case.resolving,
    }
    link: dict[str, Any] = {
        "nodes": NAMES,
        "station": "mid",
        "fibre_km": case.km,
        "attenuation_db_per_km": LOSS_DB_PER_KM,
        "architecture": case.architecture,
        "lanes": lanes,
    }
    if case.architecture == "single_click":
        link |= {"phase_rms_rad": case.phase_rms_rad}
        link |= {} if "operating_points" in case.link else {"alpha": case.alpha}
    elif case.architecture == "sender_receiver":
        link |= {"intrinsic_fidelity": case.intrinsic_fidelity}
    elif case.architecture == "midpoint_source":
        source = {"coupling_efficiency": COUPLING, "intrinsic_error": case.intrinsic_error}
        link |= {"source": {"mean_pair_number": case.mean_pair_number, **source}}
    return build_lab(
        LabFile.model_validate(
            {
                "lab": "two",
                "nodes": nodes,
                "stations": {"mid": {"detectors": detectors, **at_station, **(station or {})}},
                "links": {"ann-bob": link | case.link},
                "requests": requests,
            }
        ),
        live=live,
    )


def closed_form(case: LinkCase) -> tuple[float, float]:
    """(success probability, fidelity to the heralded Bell state) by algorithms.md 11.1, 11.2 or 11.4."""
    survive = [exp(-km / ATTENUATION_LENGTH_KM) for km in case.km]
    pd, v = case.dark, case.visibility
    if case.architecture == "sender_receiver":
        eta_det = case.absorption * HERALD
        sender = max((0, 1), key=lambda side: case.km[side])
        s = case.emission[sender] * survive[sender] * eta_det
        p = s + (1 - s) * pd
        return p, (s * case.intrinsic_fidelity + (1 - s) * pd / 4) / p
    if case.architecture == "midpoint_source":
        assert case.mean_pair_number is not None
        lam, ed = case.mean_pair_number / 2, case.intrinsic_error
        ea, eb = (COUPLING * each * case.absorption * HERALD for each in survive)
        y = pd
        third = 1 + ea * lam + eb * lam - ea * eb * lam
        q = 1 - (1 - y) / (1 + ea * lam) ** 2 - (1 - y) / (1 + eb * lam) ** 2 + (1 - y) ** 2 / third**2
        right = 2 * (0.5 - ed) * ea * eb * lam * (1 + lam) / ((1 + ea * lam) * (1 + eb * lam) * third)
        error = 0.5 - right / q
        return q, (1 + 3 * (1 - 2 * error)) / 4
    ea, eb = (emission * each * case.detector for emission, each in zip(case.emission, survive, strict=True))
    if case.architecture == "double_click":
        e1, e0 = ea * (1 - eb) + eb * (1 - ea), (1 - ea) * (1 - eb)
        if case.resolving:
            good = ea * eb * (1 - pd) ** 4 / 2
            noise = 2 * e1 * pd * (1 - pd) ** 3 + 4 * e0 * pd**2 * (1 - pd) ** 2
            p = good + noise
        else:
            s = (1 - pd) ** 2
            good, noise = ea * eb * s / 2, 2 * e1 * pd * s + 4 * e0 * pd**2 * s
            p = good + ea * eb * (1 + v) / 2 * pd * s + noise
        return p, (good * (1 + v) / 2 + noise / 4) / p
    assert case.alpha is not None
    aa, ab = case.alpha
    n, d1 = 1 - pd, 2 * pd * (1 - pd)
    p_ud = aa * (1 - ab) * (ea * n + (1 - ea) * d1)
    p_du = ab * (1 - aa) * (eb * n + (1 - eb) * d1)
    p_uu = (
        aa * ab * (ea * eb * (1 + v) / 2 * n + (ea * (1 - eb) + eb * (1 - ea)) * n + (1 - ea) * (1 - eb) * d1)
    )
    p_dd = (1 - aa) * (1 - ab) * d1
    p = p_ud + p_du + p_uu + p_dd
    coherence = sqrt(v * aa * (1 - aa) * ab * (1 - ab) * ea * eb) * n * exp(-(case.phase_rms_rad**2) / 2)
    return p, ((p_ud + p_du) / 2 + coherence) / p


GRID = (
    LinkCase(architecture="double_click", km=(5, 5)),
    LinkCase(architecture="double_click", km=(5, 5), visibility=0.8, dark=1e-3),
    LinkCase(architecture="double_click", km=(2, 20), visibility=0.9, dark=0.02, emission=(0.9, 0.7)),
    LinkCase(architecture="double_click", km=(1, 1), visibility=0.9, dark=0.02, resolving=True),
    LinkCase(architecture="single_click", km=(5, 5), alpha=(0.05, 0.05), visibility=0.95),
    LinkCase(architecture="single_click", km=(5, 5), alpha=(0.3, 0.3), visibility=0.9, dark=1e-3),
    LinkCase(architecture="single_click", km=(2, 12), alpha=(0.2, 0.35), visibility=0.8, phase_rms_rad=0.4),
    LinkCase(architecture="single_click", km=(20, 20), alpha=(0.1, 0.1), visibility=0.9, dark=0.01),
    LinkCase(architecture="sender_receiver", km=(10, 0), intrinsic_fidelity=0.95),
    LinkCase(architecture="sender_receiver", km=(30, 0), intrinsic_fidelity=0.98, dark=0.02),
    LinkCase(
        architecture="sender_receiver",
        km=(0, 20),
        dark=0.05,
        emission=(0.3, 0.9),
        intrinsic_fidelity=0.9,
        link={"sender": "bob"},
    ),
    LinkCase(architecture="midpoint_source", km=(5, 5), mean_pair_number=0.1),
    LinkCase(architecture="midpoint_source", km=(5, 5), mean_pair_number=0.8, intrinsic_error=0.02),
    LinkCase(
        architecture="midpoint_source", km=(2, 12), mean_pair_number=0.3, dark=0.01, intrinsic_error=0.01
    ),
    LinkCase(architecture="midpoint_source", km=(20, 20), mean_pair_number=0.05, dark=0.002),
)
"""Loss, darks, visibility, bright-state population and mean pair number, over the four ways to make pairs."""
