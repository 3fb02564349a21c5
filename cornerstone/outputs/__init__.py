"""What leaves the tool: every file and column described once, in description.yaml.

Made from it: `datapackage.json` in the results, and docs/outputs.md. `cornerstone.load` reads results as tidy frames.
"""
