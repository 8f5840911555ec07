"""The engine that counts time tags: exact in whole ps, in constant memory, on one core.

Owns coincidences, patterns by attempt, histograms of delays and the figures made of them, for blocks of tags
of any tagger or file (time_tags.py). Refuses to guess: what a loss touches is counted nowhere and its time
is told; refuses clocks, files and instruments. Needs numba, which its modules import and this file does not.

Counters of a stream, each `take(block)` for every block and then `result()`:

- `coincidences.StreamedCoincidences(patterns, window_ps, delays_ps, singles=())` -> `Coincidences`
- `patterns.StreamedPatterns(table, gates, delays_ps, keep=())` -> `PatternCounts`, and `heralds()`
- `histograms.StreamedCorrelation(start, stop, Bins(lo_ps, width_ps, count), delays_ps)` -> `DelayHistogram`
- `histograms.StreamedStartStop(start, stop, Bins(...), delays_ps)` -> `DelayHistogram`

A result never depends on how the stream was cut into blocks. Delays are added to the times of a channel and
may be longer than a block.

What they are given and what is made of their results:

- `gates.Gates(period_ps, windows_ps, t0_ps)`: attempts and their gates
- `pattern_tables`: `polarisation_table(ch, cv, dh, dv)`, `time_bin_table(c, d)`, `single_photon_table(c, d)`,
  `pattern_table(channels, gates, rule)` for any other
- `pairs`: `count_pairs(first, second, lo_ps, hi_ps)`, `pair_indices(...)` for arrays in memory
- `correlation_figures`: `g2_by_delay(histogram)`, `g2_of_pulses(centre, side_peaks)`,
  `heralded_g2(heralds, with_second, with_third, threefold)`, `coincidence_to_accidental_ratio(...)`
- `corrections`: `rate_hz`, `without_dead_time_hz`, `accidentals_of_singles`, `accidentals_off_peak`,
  `without_accidentals`
"""
