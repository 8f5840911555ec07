"""YAML text to plain values that remember the line they stand on.

Owns reading: YAML 1.2 numbers (1e-3 is a number), duplicate keys, and line marks by path. Refuses meaning:
what a key may hold is the business of models.py.
"""

import re
from pathlib import Path
from typing import Any, Final

import yaml

from bellwire.core.errors import ConfigError

KeyPath = tuple[str | int, ...]
"""Keys and list positions from the top of the file to a value."""


class _Loader(yaml.SafeLoader):
    """Safe YAML whose numbers follow YAML 1.2: PyYAML alone reads 1e-3 as text."""


_FLOAT: Final = re.compile(r"^[-+]?(?:[0-9]+\.[0-9]*|\.[0-9]+|[0-9]+)(?:[eE][-+]?[0-9]+)?$")
_Loader.add_implicit_resolver("tag:yaml.org,2002:float", _FLOAT, list("-+0123456789."))
"""Stands behind the integer rule of the base class, so that 10 stays an integer."""


class LabDocument:
    """A parsed file: `values` (dicts, tuples, scalars) and the line of every path in it."""

    def __init__(self, path: Path, values: dict[str, Any], lines: dict[KeyPath, int]) -> None:
        self.path = path
        self.values = values
        self._lines = lines

    def where(self, path: KeyPath) -> str:
        """`file:line (path.to.key)` of the nearest place that exists in the file."""
        place = f"{self.path.name}:{self.line_near(path)}"
        return f"{place} ({dotted(path)})" if path else place

    def line_near(self, path: KeyPath) -> int:
        """Line of the longest part of a path that stands in the file; 1 for the whole file."""
        while path and path not in self._lines:
            path = path[:-1]
        return self._lines[path] if path else 1


def dotted(path: KeyPath) -> str:
    """`links.alice-relay.fibre_km[1]`."""
    text = ""
    for step in path:
        text += f"[{step}]" if isinstance(step, int) else f".{step}" if text else step
    return text


VALUES_MAX = 1_000_000
"""Of one file, aliases written out: a few lines of aliases can stand for more than any memory holds."""


def read_document(
    path: Path,
    what: str = "lab file",
    top: str = "a mapping of sections (lab, nodes, links, ...)",
    list_as: str | None = None,
) -> LabDocument:
    """Parse a YAML file, or JSON, which is YAML but for its tabs, into values and line marks.

    what: the file in words. top: what stands at its top, in words. list_as: key under which a list at the top
    is put; None: there must be a mapping.

    Raises:
        ConfigError: the file cannot be read, is not YAML, repeats a key, or has something else at the top.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise ConfigError(f"cannot read this {what}: {reason}", where=str(path)) from None
    unprintable = yaml.reader.Reader.NON_PRINTABLE.search(text)
    if unprintable is not None:
        line = text.count("\n", 0, unprintable.start()) + 1
        character = f"U+{ord(unprintable.group()):04X}"
        raise ConfigError(f"not valid YAML: the character {character}", where=f"{path.name}:{line}")
    loader = _Loader(text.replace("\t", " ") if path.suffix == ".json" else text)
    lines: dict[KeyPath, int] = {}
    try:
        root = loader.get_single_node()
        wrapped = list_as is not None and isinstance(root, yaml.SequenceNode)
        place: KeyPath = (list_as,) if list_as is not None and wrapped else ()
        values = {} if root is None else _value(loader, root, place, lines, path.name)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark is not None else 1
        raise ConfigError(
            f"not valid YAML: {error.problem or error.context}", where=f"{path.name}:{line}"
        ) from None
    except RecursionError:
        raise ConfigError("not valid YAML: lists within lists without end", where=path.name) from None
    except yaml.YAMLError as error:
        first = str(error).splitlines()[0]
        raise ConfigError(f"not valid YAML: {first}", where=f"{path.name}:1") from None
    finally:
        loader.dispose()
    if list_as is not None and wrapped:
        values = {list_as: values}
    if not isinstance(values, dict):
        raise ConfigError(f"a {what} is {top}", where=f"{path.name}:1")
    return LabDocument(path, values, lines)


def _value(loader: _Loader, node: yaml.Node, path: KeyPath, lines: dict[KeyPath, int], name: str) -> Any:
    lines.setdefault(path, node.start_mark.line + 1)
    if len(lines) > VALUES_MAX:
        raise ConfigError(f"more than {VALUES_MAX} values; do aliases repeat aliases?", where=name)
    if isinstance(node, yaml.MappingNode):
        loader.flatten_mapping(node)  # merge keys (<<) may repeat what stands here; what stands here wins
        mapping: dict[str, Any] = {}
        seen: dict[str, yaml.Node] = {}
        for key_node, value_node in node.value:
            key = _key(key_node)
            place = (*path, key)
            line = key_node.start_mark.line + 1
            if (
                key in seen
                and seen[key].start_mark.line >= node.start_mark.line
                and line >= node.start_mark.line
            ):
                raise ConfigError(
                    f'the key "{key}" stands twice, first on line {seen[key].start_mark.line + 1}',
                    where=f"{name}:{line} ({dotted(place)})",
                )
            seen[key] = key_node
            lines[place] = line
            mapping[key] = _value(loader, value_node, place, lines, name)
        return mapping
    if isinstance(node, yaml.SequenceNode):
        return tuple(
            _value(loader, item, (*path, index), lines, name) for index, item in enumerate(node.value)
        )
    return loader.construct_object(node, deep=True)


def _key(node: yaml.Node) -> str:
    # Keys are names; `on` or `2` as a name must not become True or an integer.
    if isinstance(node, yaml.ScalarNode):
        return str(node.value)
    raise yaml.MarkedYAMLError(problem="a key must be one plain word", problem_mark=node.start_mark)
