"""The figures: one module each, and the registry that the rules read."""
