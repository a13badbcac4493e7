"""How the synapses of a shard are drawn and sorted; no rank needs another for it."""
