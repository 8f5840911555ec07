"""Studies: what a route could give (models, bounds, searches), and what it gives (evaluations).

Owns everything that compares policies. Refuses to be part of a running node: what a study finds reaches a
node as options of a request. Needs the extra `study`.
"""
