"""The one way in which a clock is not found: the tags do not determine it.

Owns the name. Such a refusal is nobody's bug: the operator records longer, looks at the channels, or lets the
search look elsewhere, as the message says.
"""

from __future__ import annotations

from bellwire.core.errors import BellwireError


class NoTiming(BellwireError):
    """The tags do not determine the clock; the message says by how much, and what to do."""
