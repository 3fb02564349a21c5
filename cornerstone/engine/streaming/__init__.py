"""A model that does not fit into memory: its weights pass through a few buffers as the walk needs them.

Optional reading: the walk is the same, and so are the scores.
"""
