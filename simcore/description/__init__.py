"""A model as its user describes it: populations, neurons, projections, stimuli, records.

No rank, thread or device appears here.
"""
