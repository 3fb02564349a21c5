"""The sweep: all coalitions of a group in one walk over the depth of a network.

This folder and `game` decide every log-likelihood, and nothing else does: a result's fingerprint is theirs. It imports
nothing of the package but `game` and `errors`.
"""
