"""Studies: models, bounds and searches that say what a route could give, and evaluations that say what it gives.

Owns everything that compares policies. Refuses to be part of a running node: what a study finds reaches a node
as options of a request. Needs the extra `study`.
"""
