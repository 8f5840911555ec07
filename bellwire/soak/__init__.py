"""Whole networks in virtual time under every fault that can be planned, watched by rules that must hold.

Owns the drawing of networks and faults from a seed, the rules, the shrinking of failures and the list of
planted faults that the rules must notice. Refuses machines and hosts: both are the ordinary ones.
"""
