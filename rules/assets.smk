# Fetching: runs where Snakemake runs, as compute nodes often have no network.
localrules:
    fetch_model,


# What was fetched before stays where fetching fails, so a file of what is there is updated, not deleted.
rule fetch_model:
    output:
        update(layout.model_marker("{model}")),
    log:
        "logs/fetch_model/{model}.log",
    retries: 0
    params:
        asset=lambda w: identity(cfg.models[w.model], Path(layout.checksums)),
    message:
        "Fetching the weights of {wildcards.model}"
    script:
        "../scripts/fetch_model.py"


# One rule for each source of documents, and one for each model whose chat template prompts are put into.
for _name, (_model, _recipes) in recipes.items():

    rule:
        name:
            f"fetch_documents_{_name}"
        input:
            [layout.model_marker(_model)] if _model else [],
            note=note(cfg, DOCUMENTS, _name),
        output:
            [update(layout.documents(_recipe)) for _recipe in _recipes],
        log:
            f"logs/fetch_documents/{_name}.log",
        retries: 0
        localrule: True
        params:
            model=_model,
            recipes=[vars(_recipe) for _recipe in _recipes],
            made_from=[_recipe.made_from for _recipe in _recipes],
            code=fingerprint.of_fetched_documents(),
        message:
            f"Having lm-eval make the documents of {len(_recipes)} tasks ({_name})"
        script:
            "../scripts/fetch_documents.py"
