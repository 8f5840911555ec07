"""Floor 2: one node as one machine, joined from the parts by a routing table.

Owns NodeMachine, StationMachine and the slots, which alone change the state of a qubit. Refuses protocol
knowledge (a line here that names a part's field is a fault), clocks, chance and I/O.
"""
