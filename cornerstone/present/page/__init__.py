"""The page: what was found of a model as one HTML file that opens from disk and asks nothing of the network.

Each section of the page is a module that makes plain data of CSV files; `specs` draws it, `render` puts it together.
"""
