# What will it cost? `snakemake plan` looks at configs, tokenizers and documents, and loads no weights.
localrules:
    fetch_outline,
    plan,


rule fetch_outline:
    output:
        update(layout.outline_only("{model}")),
    log:
        "logs/fetch_outline/{model}.log",
    retries: 0
    params:
        asset=lambda w: identity(cfg.models[w.model], Path(layout.checksums)),
    message:
        "Fetching config and tokenizer of {wildcards.model}"
    script:
        "../scripts/fetch_outline.py"


# No outputs for Snakemake, though it writes two files: a plan is made, and shown, each time it is asked for.
rule plan:
    input:
        outlines=[layout.outline_marker(model) for model in cfg.run],
        documents=[
            layout.documents_for(model, task)
            for model in cfg.run
            for task in cfg.scored_tasks
        ],
    log:
        f"{layout.logs}/plan.log",
    retries: 0
    message:
        "Planning: what the active config costs"
    script:
        "../scripts/plan.py"
