"""The loop of a run, and all around it: sessions, guards, checkpoints, resumption."""
