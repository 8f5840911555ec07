"""The procedures, one file each: what an operator does by hand to bring a link into order, step by step.

Each measures through `Work` and leaves arithmetic to `estimates`. Refuses leases, records and files, which
are the runner's.
"""
