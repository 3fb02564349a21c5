# Cornerstone: which layers of a language model matter, and how sure are we?
# This file is a table of contents. The rules are in rules/, what they call is in cornerstone/.
from snakemake.utils import min_version

min_version("9.0")


configfile: "config.yaml"


report: "report/workflow.rst"


include: "rules/common.smk"
include: "rules/assets.smk"
include: "rules/plan.smk"
include: "rules/evaluate.smk"
include: "rules/estimate.smk"
include: "rules/looks.smk"
include: "rules/compare.smk"
include: "rules/present.smk"
include: "rules/preflight.smk"


localrules:
    all,
    fetch,
    looks,


# Everything: the tables and figures of all active models and comparisons.
rule all:
    default_target: True
    input:
        TABLE_FILES,
        FIGURE_FILES,
        COMPARISON_TABLE_FILES,
        COMPARISON_FIGURE_FILES,
        layout.looks,
        layout.summary,
        layout.pages,
        layout.package,


# The weights and documents that the active config needs: the only step with network.
rule fetch:
    input:
        [layout.model_marker(model) for model in cfg.run],
        [layout.documents(recipe) for _, made in recipes.values() for recipe in made],


# The verdicts where the config has `until`: a round of `cornerstone run`, without figures and deletion curves.
rule looks:
    input:
        layout.looks,
