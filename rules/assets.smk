# Fetching: runs where Snakemake runs, as compute nodes often have no network.
localrules:
    fetch_model,


rule fetch_model:
    output:
        layout.model_marker("{model}"),
    log:
        "logs/fetch_model/{model}.log",
    params:
        asset=lambda w: identity(cfg.models[w.model], Path(layout.checksums)),
    message:
        "Fetching the weights of {wildcards.model}"
    script:
        "../scripts/fetch_model.py"


for _source, _tasks in cfg.source_tasks().items():

    rule:
        name:
            f"fetch_documents_{_source}"
        output:
            [update(layout.documents(_source, task)) for task in _tasks],
        log:
            f"logs/fetch_documents/{_source}.log",
        localrule: True
        params:
            source=_source,
            revisions={
                task: cfg.tasks[task].revision if _source == "hub" else None
                for task in _tasks
            },
            seed=cfg.documents.seed,
            code=code(*fingerprint.DOCUMENTS, script="fetch_documents"),
        message:
            f"Having lm-eval make the documents of {len(_tasks)} tasks ({_source})"
        script:
            "../scripts/fetch_documents.py"
