"""From the name of a model to its entry in config.yaml: `cornerstone add`.

Reads a model's configuration, never its weights. What it writes can be written by hand, and no number depends on it.
"""
