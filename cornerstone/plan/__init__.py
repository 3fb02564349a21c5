"""What is evaluated, and where it lies: coalitions, chunks, paths, fingerprints.

Read while Snakemake parses the rules, so nothing heavy is imported. No other folder spells a path.
"""
