"""Arithmetic below any model: time in steps, stateless randomness, spikes as words, Numba."""
