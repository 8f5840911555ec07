"""One timeline for the time tags of several places: found by coincidences, kept by filters, or told by a PPS.

Owns the arithmetic from two streams of tags, or from the captures of a PPS, to an offset in integers with its
sigma and its validity. Sans I/O: no file here opens, waits or asks for the time. Refuses to guess: what the
tags do not determine is a `NoTiming` that says what to change.
"""
