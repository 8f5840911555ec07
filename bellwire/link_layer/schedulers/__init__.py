"""Schedulers: how side 0 of a link divides its lanes among the requests that want pairs (algorithms.md 10.2).

A scheduler is a pure object behind one interface (words.py), named in one table (table.py). Only side 0 runs
it; what it decides stands in the window, and both ends evaluate the window alone.
"""
