"""Closed forms of photonic links: what a station's click means and how often it comes.

Owns the physics between two memories and a heralding station: fibre, arm efficiency, photon overlap, and
the Bell-diagonal state behind each herald code (algorithms.md 11.1 to 11.3). Refuses links whose photons
never meet (pair_sources.py), time-keeping, chance and memories: attempts are counted, drawn and aged
elsewhere.

Herald codes: 1 = Psi+ (Bell index 2), 2 = Psi- (Bell index 3).
"""

from math import exp, expm1, sqrt
from typing import Final, NamedTuple

from bellwire.core.bell import Bell
from bellwire.core.errors import LocalMisuse

CODE_PSI_PLUS: Final = 1
CODE_PSI_MINUS: Final = 2


def herald_index(code: int) -> int:
    """Bell index that a herald code names: 1 -> 2 (Psi+), 2 -> 3 (Psi-).

    Raises:
        LocalMisuse: any other code.
    """
    if code not in (CODE_PSI_PLUS, CODE_PSI_MINUS):
        raise LocalMisuse(f"herald code {code} is neither 1 (Psi+) nor 2 (Psi-)")
    return code + 1


class HeraldOutcome(NamedTuple):
    """One thing the station can report after a success.

    code: herald code. share: its probability given success, 0..1. state: absolute Bell vector of the pair.
    """

    code: int
    share: float
    state: Bell


class HeraldPhysics(NamedTuple):
    """A link's optics in one record: success probability per joint attempt, and the outcomes of a success."""

    success_probability: float
    outcomes: tuple[HeraldOutcome, ...]

    @property
    def fidelity(self) -> float:
        """Mean fidelity to the Bell state that the code names."""
        return sum(outcome.share * outcome.state[herald_index(outcome.code)] for outcome in self.outcomes)


def require_unit_interval(**values: float) -> None:
    """Raises LocalMisuse with the name of the first value outside 0..1."""
    for name, value in values.items():
        if not 0.0 <= value <= 1.0:
            raise LocalMisuse(f"{name} = {value} is outside 0..1")


def _two_codes(success: float, target: float, flipped: float, phi: float) -> HeraldPhysics:
    # Two detectors play the same part, so both codes share evenly and differ by a Z on the state.
    if success <= 0.0:
        raise LocalMisuse("no photon and no dark count can reach the detectors: the link can never herald")
    a, b, c = target / success, flipped / success, phi / (2.0 * success)
    return HeraldPhysics(
        success,
        (HeraldOutcome(CODE_PSI_PLUS, 0.5, (c, c, a, b)), HeraldOutcome(CODE_PSI_MINUS, 0.5, (c, c, b, a))),
    )


def double_click(
    efficiency_a: float, efficiency_b: float, visibility: float, dark_probability: float, resolving: bool
) -> HeraldPhysics:
    """Two-photon heralding (Barrett-Kok, dual rail) at a linear-optics midpoint (algorithms.md 11.2).

    efficiency_a, efficiency_b: emission to detection of each arm, 0..1. visibility: HOM overlap |<a|b>|^2.
    dark_probability: per detector and time bin. resolving: detectors count photons (no bunching errors).

    Raises:
        LocalMisuse: an argument outside 0..1, or no possible success.
    """
    require_unit_interval(
        efficiency_a=efficiency_a,
        efficiency_b=efficiency_b,
        visibility=visibility,
        dark_probability=dark_probability,
    )
    both = efficiency_a * efficiency_b
    one = efficiency_a * (1.0 - efficiency_b) + efficiency_b * (1.0 - efficiency_a)
    none = (1.0 - efficiency_a) * (1.0 - efficiency_b)
    dark, quiet = dark_probability, 1.0 - dark_probability
    if resolving:
        good, bunched = both * quiet**4 / 2.0, 0.0
        noise = 2.0 * one * dark * quiet**3 + 4.0 * none * dark**2 * quiet**2
    else:
        good, bunched = both * quiet**2 / 2.0, both * (1.0 + visibility) / 2.0 * dark * quiet**2
        noise = 2.0 * one * dark * quiet**2 + 4.0 * none * dark**2 * quiet**2
    return _two_codes(
        good + bunched + noise,
        target=good * (1.0 + visibility) / 2.0 + noise / 4.0,
        flipped=good * (1.0 - visibility) / 2.0 + noise / 4.0,
        phi=bunched + noise / 2.0,
    )


def single_click(
    bright_a: float,
    bright_b: float,
    efficiency_a: float,
    efficiency_b: float,
    visibility: float,
    dark_probability: float,
    *,
    resolving: bool = False,
    phase_rms_rad: float = 0.0,
) -> HeraldPhysics:
    """One-photon heralding, exactly one detector clicks; exact (algorithms.md 11.1).

    bright_a, bright_b: bright-state populations alpha, 0..1. efficiency_*: emission to detection of each arm.
    dark_probability: per detector and window. phase_rms_rad: rms optical phase between the arms.
    The two Phi components carry |00> and |11>; their imbalance is not Bell-diagonal and is twirled away.

    Raises:
        LocalMisuse: an argument outside its range, or no possible success.
    """
    require_unit_interval(
        bright_a=bright_a,
        bright_b=bright_b,
        efficiency_a=efficiency_a,
        efficiency_b=efficiency_b,
        visibility=visibility,
        dark_probability=dark_probability,
    )
    quiet = 1.0 - dark_probability
    false_click = 2.0 * dark_probability * quiet
    light = quiet**2 if resolving else quiet  # a resolving detector must not see a dark beside its photon
    dim_a, dim_b = 1.0 - bright_a, 1.0 - bright_b
    miss_a, miss_b = 1.0 - efficiency_a, 1.0 - efficiency_b
    up_down = bright_a * dim_b * (efficiency_a * light + miss_a * false_click)
    down_up = dim_a * bright_b * (efficiency_b * light + miss_b * false_click)
    bunched = 0.0 if resolving else efficiency_a * efficiency_b * (1.0 + visibility) / 2.0 * light
    lost_one = (efficiency_a * miss_b + efficiency_b * miss_a) * light
    up_up = bright_a * bright_b * (bunched + lost_one + miss_a * miss_b * false_click)
    down_down = dim_a * dim_b * false_click
    coherence = light * exp(-(phase_rms_rad**2) / 2.0)
    coherence *= sqrt(visibility * bright_a * dim_a * bright_b * dim_b * efficiency_a * efficiency_b)
    odd = (up_down + down_up) / 2.0
    return _two_codes(
        up_down + down_up + up_up + down_down,
        target=odd + coherence,
        flipped=odd - coherence,
        phi=up_up + down_down,
    )


def fibre_transmission(
    length_km: float, attenuation_db_per_km: float, insertion_loss_db: float = 0.0
) -> float:
    """Power transmission of a fibre, 0..1; insertion_loss_db holds connectors, switches and couplers."""
    if min(length_km, attenuation_db_per_km, insertion_loss_db) < 0:
        raise LocalMisuse(
            f"a fibre of {length_km} km, {attenuation_db_per_km} dB/km, {insertion_loss_db} dB has gain"
        )
    return float(10.0 ** (-(length_km * attenuation_db_per_km + insertion_loss_db) / 10.0))


def arm_efficiency(*, emission: float, conversion: float, fibre: float, detector: float) -> float:
    """Probability that an attempt of one memory ends in a detected photon; each factor 0..1.

    emission: photon emitted into the mode and collected. conversion: frequency converter (1 without).
    fibre: `fibre_transmission` to the station. detector: quantum efficiency, window acceptance included.
    """
    require_unit_interval(emission=emission, conversion=conversion, fibre=fibre, detector=detector)
    return emission * conversion * fibre * detector


# --- photon overlap (11.3): any one time unit, and radians per that unit for detuning ---------------------


def gaussian_visibility(
    peak: float,
    offset_ns: float,
    width_rms_ns: float,
    *,
    jitter_rms_ns: float = 0.0,
    detuning_rad_per_ns: float = 0.0,
) -> float:
    """HOM visibility of two Gaussian packets of intensity rms width `width_rms_ns` (algorithms.md 11.3).

    peak: visibility at no mismatch, 0..1. jitter_rms_ns: rms of the relative arrival time around the offset.
    """
    spread = 1.0 + jitter_rms_ns**2 / (2.0 * width_rms_ns**2)
    delay = exp(-(offset_ns**2) / (4.0 * width_rms_ns**2 + 2.0 * jitter_rms_ns**2))
    return peak * delay * exp(-((detuning_rad_per_ns * width_rms_ns) ** 2)) / sqrt(spread)


def exponential_visibility(
    peak: float, offset_ns: float, lifetime_ns: float, *, detuning_rad_per_ns: float = 0.0
) -> float:
    """HOM visibility of two decaying packets of equal emitter lifetime (algorithms.md 11.3)."""
    return peak * exp(-abs(offset_ns) / lifetime_ns) / (1.0 + (detuning_rad_per_ns * lifetime_ns) ** 2)


def dephased_visibility(t1_ns: float, t2_ns: float) -> float:
    """Peak visibility T2/(2 T1) of an emitter with pure dephasing (algorithms.md 11.3)."""
    if not 0.0 < t2_ns <= 2.0 * t1_ns:
        raise LocalMisuse(f"emitter T2 = {t2_ns} ns must lie in 0..2 T1 = {2.0 * t1_ns} ns")
    return t2_ns / (2.0 * t1_ns)


def hom_coincidence_probability(visibility: float) -> float:
    """Chance that two photons leave a balanced splitter by different ports: (1 - V)/2."""
    return (1.0 - visibility) / 2.0


def window_acceptance(window_ns: float, lifetime_ns: float) -> float:
    """Share of an exponentially decaying packet that falls into a window opened at its start."""
    return -expm1(-window_ns / lifetime_ns)


def windowed_visibility(visibility: float, window_ns: float, lifetime_ns: float) -> float:
    """HOM visibility of what a window at the start of two equal decaying packets lets through, 0..1.

    visibility: of the whole packets; what it lacks to one is taken as pure dephasing of the emitter, so that
    two photons detected t apart interfere with contrast exp(-g t), g = (1/V - 1)/lifetime. The early part of
    the packets is purer: V rises to one as the window closes, and is `visibility` for a long window. Average
    of exp(-g |t1 - t2|) over both detection times inside the window (algorithms.md 11.3).
    """
    require_unit_interval(visibility=visibility)
    if not (window_ns > 0.0 and lifetime_ns > 0.0):
        raise LocalMisuse(f"window {window_ns} ns and lifetime {lifetime_ns} ns must be above 0")
    if visibility == 0.0:
        return 0.0
    window = window_ns / lifetime_ns
    dephasing = 1.0 / visibility - 1.0
    slower = 1.0 - dephasing
    if window < 1e-5:
        return 1.0 - dephasing * window / 3.0  # the mean distance of two times in a window is a third of it
    # 2 int_0^w e^-2t (e^(slower t) - 1)/slower dt; where both rates are equal the fraction is t itself.
    if abs(slower) < 1e-6:
        overlap = (1.0 - exp(-2.0 * window) * (1.0 + 2.0 * window)) / 2.0
    else:
        faster = 1.0 + dephasing
        overlap = 2.0 * (-expm1(-faster * window) / faster + expm1(-2.0 * window) / 2.0) / slower
    return min(1.0, overlap / expm1(-window) ** 2)
