"""Estimators behind the calibration procedures: counts and settings in, quantities with honest errors out.

Pure arithmetic on numpy arrays: no instrument, no clock, no file; chance only through a numpy Generator that
the caller hands in. Each result carries its quantities, the fitted curve, the goodness of the fit, and
`checks()`, the acceptance limits of its procedure. Refuses to guess: counts that cannot answer the question
raise NoEstimate.
"""
