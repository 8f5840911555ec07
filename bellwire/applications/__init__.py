"""The application layer of the stack: those who ask for entanglement and use it.

Owns the request generator, status notifications, and the teleportation, key and Bell-test programs.
Refuses to know how pairs are made: it speaks to the transport layer in words of core only.
"""
