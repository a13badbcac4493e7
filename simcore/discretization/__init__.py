"""A description in whole numbers, the same on every rank: weights, delays, counts."""
