"""Protocols that adaptive execution is compared with, in their best honest form (algorithms.md 6 and 10.5).

Refuses clocks, chance and I/O like every room of machines.
"""
