"""Trees for one pair: one file per method, each with `plan` as methods.py describes it."""
