"""Keys and values of a sweep: places in a lab file, and what is put there.

Owns the reading of `key=a,b,c`, the search for the place, and the lab file with values replaced. Refuses
labs: whether a value makes sense is the schema's business.

A key is a path in the lab document, steps joined by dots, positions in lists by number:
`links.a-b.length_km`, `requests.0.mode`. Names may have dots themselves; the longest name that fits is meant.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import yaml

from bellwire.core.errors import ConfigError
from bellwire.core.registry import nearest
from bellwire.labs.document import KeyPath

OTHER_NAMES: Final = {"generation_mode": "mode"}
"""What the message that a request becomes calls differently from the lab file."""


@dataclass(frozen=True, slots=True)
class Variation:
    """One key with all values that it shall have."""

    key: str
    path: KeyPath
    values: tuple[Any, ...]


def parse_variation(text: str, document: Mapping[str, Any]) -> Variation:
    """The variation that `key=a,b,c` means. document: canonical, with every default written out.

    Raises:
        ConfigError: no `=`, no value, a repeated value, or a key that labs do not have.
    """
    key, equals, values_text = text.partition("=")
    if not equals or not key.strip():
        raise ConfigError("a variation is written key=value,value", where=f"--set {text}")
    values = tuple(_value(part, text) for part in split_values(values_text))
    if not values or "" in values:
        raise ConfigError("a variation needs values between its commas", where=f"--set {text}")
    if len({repr(value) for value in values}) < len(values):
        raise ConfigError("a value stands twice: more runs come with --seeds", where=f"--set {text}")
    return Variation(key.strip(), find_path(key.strip(), document), values)


def split_values(text: str) -> list[str]:
    """Parts between commas outside brackets and quotes: modes and lists have commas of their own."""
    parts, depth, quote = [""], 0, ""
    for letter in text:
        if quote:
            quote = "" if letter == quote else quote
        elif letter in "\"'" and not parts[-1].strip():
            quote = letter
        elif letter in "([{":
            depth += 1
        elif letter in ")]}":
            depth -= 1
        if letter == "," and depth == 0 and not quote:
            parts.append("")
        else:
            parts[-1] += letter
    return [part.strip() for part in parts]


def _value(text: str, where: str) -> Any:
    """A value as YAML has it: numbers, true, null, lists; everything else is text."""
    try:
        found = yaml.safe_load(text) if text else ""
    except yaml.YAMLError:
        raise ConfigError(f'"{text}" cannot be read as a value', where=f"--set {where}") from None
    if isinstance(found, str):
        try:
            return float(found)  # YAML 1.1 takes 1e-3 for text
        except ValueError:
            return found
    return tuple(found) if isinstance(found, list) else found


def find_path(key: str, document: Mapping[str, Any]) -> KeyPath:
    """The path of a key. Below an absent section the schema decides.

    Raises:
        ConfigError: no such key; the nearest is given.
    """
    steps = key.split(".")
    path: list[str | int] = []
    here: Any = document
    while steps:
        if here is None:
            return (*path, *steps)
        place = ".".join(map(str, path)) or "the lab"
        if isinstance(here, Mapping):
            name, steps = _longest_name(here, steps)
            if name is None:
                known = [one for one in here if not (one == "order" and not path)]
                raise ConfigError(f'no key "{steps[0]}" in {place}{nearest(steps[0], known)}', where=key)
            path.append(name)
            here = here[name]
        elif isinstance(here, (list, tuple)):
            position, *steps = steps
            if not position.isdigit() or int(position) >= len(here):
                raise ConfigError(
                    f'"{position}" is no position in {place}: it has {len(here)}, counted from 0', where=key
                )
            path.append(int(position))
            here = here[int(position)]
        else:
            raise ConfigError(f"{place} is a plain value and has no {'.'.join(steps)}", where=key)
    return tuple(path)


def _longest_name(here: Mapping[str, Any], steps: Sequence[str]) -> tuple[str | None, list[str]]:
    """The name that the first steps make, and the steps that are left."""
    for length in range(len(steps), 0, -1):
        name = ".".join(steps[:length])
        name = name if name in here else OTHER_NAMES.get(name, name)
        if name in here and name != "order":
            return name, list(steps[length:])
    return None, list(steps)


def with_value(document: Any, path: KeyPath, value: Any) -> Any:
    """The document with one value replaced; sections on the way are made where they are absent."""
    if not path:
        return value
    step, rest = path[0], path[1:]
    if isinstance(step, int):
        entries = list(document)
        entries[step] = with_value(entries[step], rest, value)
        return tuple(entries)
    section = {} if document is None else dict(document)
    section[step] = with_value(section.get(step), rest, value)
    return section
