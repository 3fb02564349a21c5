"""Which layers of a language model matter, and how sure are we?

Data flows one way: config -> plan -> sweep -> store -> estimate -> figures.
"""

__version__ = "0.1.0"
