"""How much at once: what memory is spent on, which coalitions and documents are walked together.

Changes no number: results do not depend on it.
"""
