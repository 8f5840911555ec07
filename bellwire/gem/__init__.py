"""The Global Entanglement Module: what happened to every pair, as facts, and the view folded from them.

Owns fact streams, their broadcast and update, the fold and its queries. Refuses to decide anything, to
overwrite a fact, and to guess: what no author has written is not in the view.
"""
