"""Containers: what a rank owns of a network, before and after its synapses are drawn."""
