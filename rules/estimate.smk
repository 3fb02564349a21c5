# From results to estimates: seconds on a CPU, so they run where Snakemake runs.
localrules:
    collect,
    estimate,
    deletion_curves,


SETTINGS = {
    "metrics": {task: cfg.tasks[task].metric for task in cfg.run_tasks},
    "groups": {task: cfg.members(task) for task in cfg.run_tasks},
    "temperature": cfg.temperature,
    "intervals": cfg.intervals.model_dump(),
    "seed": cfg.seed,
}
ESTIMATORS = [entry.model_dump() for entry in cfg.estimators]


rule collect:
    input:
        chunks=lambda w: [
            layout.chunk(w.model, w.task, number)
            for number in range(len(chunks[w.model][w.task]))
        ],
        documents=lambda w: layout.documents_for(w.model, w.task),
        note=note(cfg, "{model}", "{task}" + VALUES),
    output:
        layout.values("{model}", "{task}"),
    log:
        f"{layout.logs}/collect/{{model}}/{{task}}.log",
    retries: 0
    params:
        fingerprint=lambda w: fingerprint.of_result(cfg, w.model, w.task),
        made_by=lambda w: fingerprint.of_values(cfg, w.model, w.task),
        code=code(*fingerprint.VALUES, script="collect"),
    message:
        "Collecting the results of {wildcards.model} on {wildcards.task}"
    script:
        "../scripts/collect.py"


rule estimate:
    input:
        values=[layout.values("{model}", task) for task in cfg.scored_tasks],
        documents=lambda w: [
            layout.documents_for(w.model, task) for task in cfg.scored_tasks
        ],
        note=note(cfg, "{model}", ESTIMATES),
    output:
        tables=layout.estimates("{model}"),
        provenance=layout.provenance("{model}"),
    log:
        f"{layout.logs}/estimate/{{model}}.log",
    retries: 0
    params:
        settings=SETTINGS,
        estimators=ESTIMATORS,
        code=code(*fingerprint.ESTIMATES, script="estimate"),
    message:
        "Estimating layer Shapley values and ablations of {wildcards.model}"
    script:
        "../scripts/estimate.py"


# Interactions of pairs, the paper's assumptions, and its hypotheses. Rules are made in a loop, as which interactions a
# model has depends on its number of players.
for _model in cfg.run:

    rule:
        name:
            f"interactions_{_model}"
        input:
            values=[layout.values(_model, task) for task in cfg.scored_tasks],
            baselines=layout.shown(_model)["baselines"],
            cornerstones=layout.shown(_model)["cornerstones"],
        output:
            layout.relations(_model),
        log:
            f"{layout.logs}/interactions/{_model}.log",
        retries: 0
        localrule: True
        params:
            model=_model,
            settings=SETTINGS,
            estimators=ESTIMATORS,
            interactions=[entry.model_dump() for entry in cfg.interactions],
            code=code(*fingerprint.ESTIMATES, script="interactions"),
        message:
            f"Interactions and hypotheses of {_model}"
        script:
            "../scripts/interactions.py"


rule deletion_curves:
    input:
        tables=[layout.deletion_values("{model}", task) for task in cfg.scored_tasks],
        orders=layout.csv("{model}", "orders"),
        influence=lambda w: layout.influences(w.model),
    output:
        [layout.csv("{model}", stem) for stem in ("deletion", "order_quality")],
    log:
        f"{layout.logs}/deletion_curves/{{model}}.log",
    retries: 0
    params:
        settings=SETTINGS,
        deletion=cfg.deletion.model_dump(),
        code=code(*fingerprint.ESTIMATES, script="deletion_curves"),
    message:
        "Deletion curves of {wildcards.model}"
    script:
        "../scripts/deletion_curves.py"
