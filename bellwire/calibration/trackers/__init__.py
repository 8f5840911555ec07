"""What keeps a calibrated link in tolerance beside its operation.

Keepers (clock_keeper, delay_keeper, polarisation_keeper, on cusum and paddle_drift) own the decisions, sans
I/O: measurements in, orders out. Looks (clock_look, delay_look, polarisation_look) are procedures that feed
them. Refuses when to look, and what to do when a look fails (keeping.py).
"""
