"""Calibration: procedures that bring a link into order, what they found, and trackers that keep it so.

Instruments are reached through `Access`, which has no idea whether they are real; nothing here knows an
emulator. Refuses protocol: what a result means to a link is decided where labs are built.
"""
