"""The part of a link's section that says how light makes its pairs: architecture, source, operating points.

Owns which keys go with which architecture, and the sections that only some of them have. Refuses references
to other sections (crosscheck.py) and physics (architectures.py).
"""

from collections.abc import Iterator
from itertools import pairwise
from typing import Annotated, Final, Literal, Protocol

from pydantic import BaseModel, Field

from bellwire.labs.sections import (
    Fidelity,
    Name,
    NotNegative,
    Positive,
    PositiveProbability,
    Probability,
    Section,
)

Architecture = Literal["double_click", "single_click", "sender_receiver", "midpoint_source"]
"""How a link makes pairs (stack paper IV-F): clicks meet in the middle."""

Alpha = Annotated[float, Field(gt=0, lt=1)]
Alphas = tuple[Alpha, Alpha]


class Source(Section):
    """A photon-pair source in the middle of a link. Defaults: a pulsed SPDC source in a waveguide."""

    mean_pair_number: Positive | None = None  # pairs per attempt; None: operating_points of the link say it
    coupling_efficiency: PositiveProbability = 0.7  # of one photon into the fibre of its arm
    intrinsic_error: Annotated[float, Field(ge=0, le=0.5)] = 0.01  # wrong correlations of a single pair


class LinkPoint(Section):
    """One way to run the link: exactly one of the three settings, the one of its architecture."""

    name: Name
    alpha: Alphas | None = None  # single_click: bright-state population of each node
    mean_pair_number: Positive | None = None  # midpoint_source
    window_ns: Positive | None = None  # double_click: needs photon_lifetime_ns of the station's detectors


class Truth(Section):
    """What the emulated or virtual World has instead of what the file believes; absent keys: as believed."""

    visibility: Probability | None = None
    dark_rate_hz: NotNegative | None = None  # of each detector, or of each memory's herald
    attenuation_db_per_km: NotNegative | None = None
    insertion_loss_db: NotNegative | None = None
    phase_rms_rad: NotNegative | None = None
    intrinsic_fidelity: Fidelity | None = None
    intrinsic_error: Annotated[float, Field(ge=0, le=0.5)] | None = None
    success_probability: PositiveProbability | None = None
    fidelity: Fidelity | None = None


class LitLink(Protocol):
    """The keys of a link that are about light."""

    @property
    def nodes(self) -> tuple[str, str]: ...
    @property
    def architecture(self) -> Architecture: ...
    @property
    def fibre_km(self) -> tuple[float, float] | None: ...
    @property
    def alpha(self) -> Alphas | None: ...
    @property
    def phase_rms_rad(self) -> float: ...
    @property
    def sender(self) -> str | None: ...
    @property
    def intrinsic_fidelity(self) -> float | None: ...
    @property
    def source(self) -> Source | None: ...
    @property
    def operating_points(self) -> tuple[LinkPoint, ...]: ...
    @property
    def truth(self) -> Truth | None: ...


LIGHT_KEYS: Final = frozenset(
    {
        "station",
        "fibre_km",
        "attenuation_db_per_km",
        "insertion_loss_db",
        "architecture",
        "alpha",
        "phase_rms_rad",
        "sender",
        "intrinsic_fidelity",
        "source",
        "operating_points",
        "attempt_period_us",
    }
)
"""Keys of a link that the textbook form, which has no light, excludes."""

SETTING_OF_POINTS: Final[dict[Architecture, str]] = {
    "double_click": "window_ns",
    "single_click": "alpha",
    "midpoint_source": "mean_pair_number",
}
"""What differs between the operating points of a link. A sender-receiver link has one way to be run."""

_LOSSES: Final = frozenset({"attenuation_db_per_km", "insertion_loss_db", "dark_rate_hz"})

TRUTHS: Final[dict[str, frozenset[str]]] = {
    "double_click": _LOSSES | {"visibility"},
    "single_click": _LOSSES | {"visibility", "phase_rms_rad"},
    "sender_receiver": _LOSSES | {"intrinsic_fidelity"},
    "midpoint_source": _LOSSES | {"intrinsic_error"},
    "textbook": frozenset({"success_probability", "fidelity"}),
}
"""What the World may have otherwise, by architecture."""


def given(section: BaseModel, keys: frozenset[str] | None = None) -> list[str]:
    """Keys of a section whose values are not their defaults; a canonical file states every default."""
    fields = type(section).model_fields
    return sorted(
        key
        for key in (fields if keys is None else keys)
        if not fields[key].is_required()
        and getattr(section, key) != fields[key].get_default(call_default_factory=True)
    )


def check_light(link: LitLink) -> None:
    """Raises ValueError with a sentence for keys that do not belong together."""
    for problem in _problems(link):
        raise ValueError(problem)


def check_truth(truth: Truth | None, architecture: str) -> None:
    """Raises ValueError for a truth that this architecture does not have."""
    wrong = [] if truth is None else [key for key in given(truth) if key not in TRUTHS[architecture]]
    if wrong:
        known = ", ".join(sorted(TRUTHS[architecture]))
        raise ValueError(f"truth: {', '.join(wrong)} means nothing to a {architecture} link (known: {known})")


def _problems(link: LitLink) -> Iterator[str]:
    kind, points = link.architecture, link.operating_points
    if (link.alpha is not None) != (kind == "single_click" and not points):
        if kind == "single_click" and points:
            yield "alpha and operating_points say the same thing; give one"
        yield "alpha (one value per node) goes with architecture: single_click, and only there"
    if link.phase_rms_rad and kind != "single_click":
        yield "phase_rms_rad (phase between the arms) goes with architecture: single_click, and only there"
    if kind != "sender_receiver" and (link.sender is not None or link.intrinsic_fidelity is not None):
        yield "sender and intrinsic_fidelity go with architecture: sender_receiver, and only there"
    if (link.source is not None) != (kind == "midpoint_source"):
        yield "source (of photon pairs) goes with architecture: midpoint_source, and only there"
    if link.source is not None and (link.source.mean_pair_number is None) != bool(points):
        yield "give mean_pair_number of the source, or operating_points with one each"
    if kind == "sender_receiver":
        yield from _sender_problems(link)
    if points:
        yield from _point_problems(link)


def _sender_problems(link: LitLink) -> Iterator[str]:
    sender = sender_of(link)
    if sender not in link.nodes:
        yield f'sender "{sender}" is neither "{link.nodes[0]}" nor "{link.nodes[1]}"'
        return
    assert link.fibre_km is not None
    at_receiver = link.fibre_km[1 - link.nodes.index(sender)]
    if at_receiver:
        order = "[d, 0]" if sender == link.nodes[0] else "[0, d]"
        yield (
            f"the station of a sender_receiver link stands at the receiver: fibre_km is {order}, but the "
            f"receiver's arm is {at_receiver:g}"
        )


def _point_problems(link: LitLink) -> Iterator[str]:
    setting = SETTING_OF_POINTS.get(link.architecture)
    if setting is None:
        yield f"operating_points: a {link.architecture} link has one way to be run"
        return
    names = [point.name for point in link.operating_points]
    if len(set(names)) != len(names):
        yield "operating_points: two have the same name"
    for point in link.operating_points:
        if given(point) != [setting]:
            yield f'operating_points: "{point.name}" must give {setting}, and only that ({link.architecture})'
            return
    for dim, bright in pairwise(link.operating_points):
        if not _brighter(getattr(dim, setting), getattr(bright, setting)):
            yield (
                f'operating_points go from dim to bright: {setting} of "{bright.name}" must be above that of '
                f'"{dim.name}"'
            )


def _brighter(dim: float | Alphas, bright: float | Alphas) -> bool:
    if isinstance(dim, tuple) and isinstance(bright, tuple):
        return dim != bright and all(one <= other for one, other in zip(dim, bright, strict=True))
    assert isinstance(dim, float | int)
    assert isinstance(bright, float | int)
    return dim < bright


def sender_of(link: LitLink) -> str:
    """Of a sender-receiver link: the node that emits, by default the first."""
    return link.nodes[0] if link.sender is None else link.sender
