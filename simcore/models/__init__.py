"""Built-in models: each module has a function `build(**parameters)` that returns a network."""
