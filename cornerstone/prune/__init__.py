"""`cornerstone prune`: a checkpoint without some layers, which stock tools load.

What is written is proven: transformers gives it the scores that the engine gives the coalition.
"""
