"""The `optics` section: the hidden light behind emulated equipment, as components, wires and links.

Owns the section's outer form. Refuses its meaning: light_bench_checks.py.
"""

from typing import Any

from pydantic import Field

from bellwire.labs.sections import Name, Section


class OpticsSection(Section):
    """Components by name, each with its `kind`; wires from output to input, as COMPONENT or COMPONENT.PORT;
    and for each link that this light makes, which components it goes through.
    """

    components: dict[Name, dict[str, Any]]
    wires: tuple[tuple[str, str], ...] = ()
    links: dict[Name, dict[str, Any]] = Field(default_factory=dict)
