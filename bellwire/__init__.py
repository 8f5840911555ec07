"""bellwire: operating software for quantum networks.

Owns the version of the package, and nothing else. Refuses to import any of its rooms: importing
`bellwire` must stay free of cost and of side effects.
"""

__version__ = "0.1.0"
