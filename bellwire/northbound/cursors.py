"""Cursors of pages: opaque to whoever gets one, and refused when nobody has given it.

Owns their form. Refuses meaning: a cursor holds one number and the name of what is paged.
"""

import base64
import re
from typing import Final

from bellwire.client.words import INTEGER_MAX
from bellwire.northbound.problems import Problem

_FORM: Final = re.compile(r"([a-z]+):(\d{1,16})")


def cursor_of(what: str, number: int) -> str:
    """The page that begins after `number`."""
    return base64.urlsafe_b64encode(f"{what}:{number}".encode()).decode().rstrip("=")


def number_in(what: str, cursor: str | None) -> int | None:
    """The number of a cursor; None for none. Raises Problem for anything else than `cursor_of` makes."""
    if cursor is None:
        return None
    try:
        text = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True).decode()
    except ValueError:
        text = ""
    found = _FORM.fullmatch(text)
    if found is None or found[1] != what or int(found[2]) > INTEGER_MAX:
        raise Problem("malformed-request", "cursor: take the `next` of an earlier page of the same list")
    return int(found[2])
