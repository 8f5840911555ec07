"""The hidden optical truth of an emulated lab: what its light does between the instruments.

Owns components, the light between them, and what detectors make of it. Refuses protocols, instruments and
their dialects: an emulated instrument turns knobs, reads gauges and takes tags, and knows nothing else.
"""
