"""What the subcommands of `cornerstone` say: each makes data (`--json`) and the text that is shown of it.

They read what is on disk, or call Snakemake. No number depends on this folder.
"""
