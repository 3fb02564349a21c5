"""One evaluate job and its files: a model, a task, a JSON file for each coalition, a table of all of them.

What decides the numbers is in `engine`; here they are asked for and kept.
"""
