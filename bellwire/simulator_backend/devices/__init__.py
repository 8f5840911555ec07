"""Emulated instruments: tasks that speak the real transport and dialect of a device, driven by the World.

Owns the device side of the protocols in `bellwire.drivers` (maps and codec are shared, logic is not) and
their named fault switches. Refuses to give a driver anything that a real instrument would not: truth stays
behind the byte stream.
"""
