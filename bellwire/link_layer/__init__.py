"""The link layer of the stack: entangled pairs between neighbours, as a service.

Owns requests to a link, the agreement on attempt windows, link purification and fidelity estimates.
Refuses to know routes, other parts, instruments and the time of day.
"""
