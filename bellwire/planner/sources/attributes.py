"""Properties of nodes and links as files of others spell them, from loose values to checked ones.

Owns the table of keys that a file may use and the reading of one value. Refuses files, and ranges: those are
checked where the value is used (topology.py).

Keys of a node are the fields of `Node`, those of an edge `length_km` and the keyword parameters of
`link_between`. Numbers must be numbers: text that looks like one is refused, because a file that declares
nothing about its types is easily misread. Only lists may be text ("0.01 0.02 0.01"): some formats have none.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final, get_args

from bellwire.core.errors import ConfigError
from bellwire.core.registry import nearest
from bellwire.planner.topology import Architecture, Node

Attributes = Mapping[str, object]
"""Keys and values of one node or edge, as a reader of some format hands them over."""

Reader = Callable[[object], Any]
"""A loose value in, a checked one out. Raises ValueError whose text is what the value should be."""


def a_number(value: object) -> float:
    """An int or a float; neither text nor true."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError("a number")
    try:
        return float(value)
    except OverflowError:
        raise ValueError("a number below 1e308") from None


def a_whole_number(value: object) -> int:
    """An int, or a float without fraction."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError("a whole number")
    return value


def yes_or_no(value: object) -> bool:
    """True, false, 1 or 0 (GML has no other way to say it)."""
    if value not in (0, 1):
        raise ValueError("true or false")
    return bool(value)


def some_text(value: object) -> str:
    """Text with something in it; a whole number is taken as its digits, as names often are."""
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if not isinstance(value, str) or not value.strip():
        raise ValueError("text")
    return value


def an_architecture(value: object) -> Architecture:
    """One of the three ways in which a link makes pairs."""
    known: tuple[Architecture, ...] = get_args(Architecture)
    for each in known:
        if value == each:
            return each
    raise ValueError(f"an architecture{nearest(str(value), known)}")


def numbers(count: int, *, spread: bool = False) -> Reader:
    """Reader of a list of so many numbers, or of a text that lists them. spread: one stands for all."""

    def read(value: object) -> tuple[float, ...]:
        wanted = f"{count} numbers" + (", or one for all" if spread else "")
        found = _listed(value, wanted)
        if spread and len(found) == 1:
            return found * count
        if len(found) != count:
            raise ValueError(wanted)
        return found

    return read


def _listed(value: object, wanted: str) -> tuple[float, ...]:
    if isinstance(value, str):
        try:
            return tuple(float(part) for part in value.replace(",", " ").split())
        except ValueError:
            raise ValueError(wanted) from None
    try:
        return tuple(a_number(each) for each in (value if isinstance(value, list | tuple) else [value]))
    except ValueError:
        raise ValueError(wanted) from None


NODE_READERS: Final[Mapping[str, Reader]] = {
    "name": some_text,
    "memories": a_whole_number,
    "attempts_hz": a_number,
    "generation_probability": a_number,
    "generation_s": a_number,
    "swap_probability": a_number,
    "swap_s": a_number,
    "fusion_probability": a_number,
    "fusion_s": a_number,
    "swap_noise": numbers(4),
    "gate_fidelity": a_number,
    "readout_fidelity": a_number,
    "purification_s": a_number,
    "decay_hz": numbers(3, spread=True),
    "position_km": numbers(2),
    "relays": yes_or_no,
}
"""How each field of Node is read."""

PLACE_READERS: Final[Mapping[str, Reader]] = {"x_km": a_number, "y_km": a_number}
"""A place in two scalars, for formats without lists."""

LINK_READERS: Final[Mapping[str, Reader]] = {
    "attenuation_length_km": a_number,
    "channels": a_whole_number,
    "architecture": an_architecture,
    "sender": some_text,
    "fidelity": a_number,
    "optical_probability": a_number,
    "optical_s": a_number,
    "success_probability": a_number,
    "attempt_s": a_number,
    "link": some_text,
}
"""How each keyword parameter of link_between is read."""

LENGTH_READERS: Final[Mapping[str, Reader]] = {"length_km": a_number}


def read_attributes(
    attributes: Attributes, readers: Mapping[str, Reader], what: str
) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Values of the known keys, and the keys that nobody knows. A value of None counts as absent.

    what: the node or edge, for the message.

    Raises:
        ConfigError: a value of the wrong kind.
    """
    found: dict[str, Any] = {}
    for key, value in attributes.items():
        if key not in readers or value is None:
            continue
        try:
            found[key] = readers[key](value)
        except ValueError as wanted:
            raise ConfigError(f"{what}: {key} = {value!r} must be {wanted}") from None
    return found, tuple(key for key in attributes if key not in readers)


def node_of(name: str, attributes: Attributes) -> tuple[Node, tuple[str, ...]]:
    """A node, and the keys that it does not know.

    name: what it is called unless an attribute `name` says otherwise.

    Raises:
        ConfigError: a value of the wrong kind or out of range, or one coordinate without the other.
    """
    readers = {**NODE_READERS, **PLACE_READERS}
    found, unknown = read_attributes(attributes, readers, f'node "{name}"')
    x_km, y_km = found.pop("x_km", None), found.pop("y_km", None)
    if (x_km is None) != (y_km is None):
        raise ConfigError(f'node "{name}": x_km and y_km belong together: give both or neither')
    if x_km is not None:
        if "position_km" in found:
            raise ConfigError(
                f'node "{name}": give its place as position_km or as x_km and y_km, not as both'
            )
        found["position_km"] = (x_km, y_km)
    return Node(**{"name": name, **found}), unknown


@contextmanager
def located(where: str) -> Iterator[None]:
    """Every ConfigError inside gets the file's name, unless it has a place already."""
    try:
        yield
    except ConfigError as error:
        raise ConfigError(error.problem, where=error.where or where) from error
