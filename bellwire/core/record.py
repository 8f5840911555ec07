"""The base of all words: frozen, keyword-only records that are the same in memory and on the wire.

Owns the record options. Subclasses repeat `frozen=True, kw_only=True`: msgspec inherits them, type checkers
do not. Refuses unknown fields and mutation. gc=False is safe because records never refer to themselves; it
saves the collector from visiting a million short-lived words (limits.md).
"""

import msgspec


class Word(msgspec.Struct, frozen=True, kw_only=True, gc=False, forbid_unknown_fields=True):
    """A frozen record inside one process."""


class TaggedWord(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    gc=False,
    forbid_unknown_fields=True,
    tag=True,
    tag_field="t",
    array_like=False,
):
    """A frozen record that may travel or be stored; its class name is the tag."""
