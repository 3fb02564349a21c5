"""What a run will cost: coalitions, floating-point operations, hours. Shown by `snakemake plan`.

Counted before anything is evaluated; no weights are loaded.
"""
