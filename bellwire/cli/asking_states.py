"""Pairs of names and places of vertices, as options of `bellwire request` spell them.

Owns the spelling and the sentences about mistakes in it. Refuses meaning: whether such nodes exist is looked
at later (asking_terms.py).
"""

from bellwire.core.errors import ConfigError


def pairs_of_words(text: str | None, option: str, kind: str, what: str) -> tuple[tuple[str, str], ...]:
    """The pairs of words of an option, "A B, B C"; none where it is not given. kind, what: in messages.

    Raises:
        ConfigError: one of them is no pair.
    """
    pairs: list[tuple[str, str]] = []
    for each in () if text is None else text.split(","):
        names = each.split()
        if len(names) != 2:
            raise ConfigError(f'"{each.strip()}" in {option} is no {kind}; write two {what} each: "A B, B C"')
        pairs.append((names[0], names[1]))
    return tuple(pairs)


def vertices(text: str | None, graph: str | None) -> tuple[tuple[str, str], ...]:
    """Vertices of the wanted graph states with their nodes, "x=A, y=B"; none: edges name nodes.

    Raises:
        ConfigError: an entry of another form, or no graph.
    """
    if text is None:
        return ()
    if graph is None:
        raise ConfigError("--vertices says where the vertices of --graph stand: give both")
    found: list[tuple[str, str]] = []
    for each in text.split(","):
        vertex, is_there, node = (part.strip() for part in each.partition("="))
        if not (vertex and is_there and node):
            raise ConfigError(f'"{each.strip()}" in --vertices: write vertex=node each: "x=A, y=B"')
        found.append((vertex, node))
    return tuple(found)
