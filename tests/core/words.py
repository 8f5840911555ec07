"""Values of every word, made from its own type hints.

Owns the strategy for a type. A new message or field needs no line here: it is generated because it is
declared.
"""

from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import msgspec
from hypothesis import strategies as st

INTEGERS = st.integers(-(2**63), 2**64 - 1)
"""All that msgpack carries."""


def values(kind: Any) -> st.SearchStrategy[Any]:
    """Every value that a field of this type may take."""
    origin = get_origin(kind)
    if origin is Literal:
        return st.sampled_from(get_args(kind))
    if origin in (Union, UnionType):
        return st.one_of([values(one) for one in get_args(kind)])
    if origin is tuple:
        inside = get_args(kind)
        if inside[-1] is Ellipsis:
            return st.lists(values(inside[0]), max_size=2).map(tuple)
        return st.tuples(*map(values, inside))
    if origin is dict:
        key, value = get_args(kind)
        return st.dictionaries(values(key), values(value), max_size=2)
    simple: dict[Any, st.SearchStrategy[Any]] = {
        int: INTEGERS,
        bool: st.booleans(),
        float: st.floats(allow_nan=False),
        str: st.text(max_size=8),
        bytes: st.binary(max_size=8),
        NoneType: st.none(),
    }
    if kind in simple:
        return simple[kind]
    if issubclass(kind, tuple):
        return st.builds(kind, **{name: values(hint) for name, hint in get_type_hints(kind).items()})
    assert issubclass(kind, msgspec.Struct), f"no strategy for {kind}"
    return st.deferred(lambda: _structs(kind))


def _structs(kind: type[msgspec.Struct]) -> st.SearchStrategy[Any]:
    hints = get_type_hints(kind)
    return st.builds(kind, **{name: values(hints[name]) for name in kind.__struct_fields__})
