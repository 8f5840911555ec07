"""Floor 0, words only: identifiers, units, Bell algebra, plans, views, events, effects, messages, errors.

Owns the vocabulary that all other rooms share and the sans-I/O machine contract. Refuses clocks, chance,
sockets, threads, logging and every import from another room.
"""
