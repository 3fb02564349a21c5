# From results to estimates: seconds on a CPU, so they run where Snakemake runs.
localrules:
    collect,
    estimate,
    deletion_curves,


METRICS_AND_INTERVALS = {
    "metrics": {task: cfg.tasks[task].metric for task in cfg.run_tasks},
    "intervals": cfg.intervals.model_dump(),
    "seed": cfg.seed,
}


rule collect:
    input:
        results=lambda w: [
            layout.coalition(w.model, w.task, name) for name in layout.planned(w.model)
        ],
        documents=lambda w: layout.documents_for(w.model, w.task),
    output:
        f"{RESULTS}/{{model}}/{{task}}/values.parquet",
    log:
        "logs/collect/{model}/{task}.log",
    params:
        fingerprint=lambda w: fingerprint(cfg, w.model, w.task),
        code=code("evaluate.result", "game.coalitions"),
    message:
        "Collecting the results of {wildcards.model} on {wildcards.task}"
    script:
        "../scripts/collect.py"


rule estimate:
    input:
        values=[f"{RESULTS}/{{model}}/{task}/values.parquet" for task in cfg.run_tasks],
        documents=lambda w: [
            layout.documents_for(w.model, task) for task in cfg.run_tasks
        ],
    output:
        values=[
            layout.shapley("{model}", entry.name, function)
            for entry in cfg.estimators
            for function in layout.value_functions
        ],
        cornerstones=[
            layout.cornerstones("{model}", function)
            for function in layout.value_functions
        ],
        comparison=f"{RESULTS}/{{model}}/estimators.csv",
        drops=f"{RESULTS}/{{model}}/ablation.csv",
        baselines=f"{RESULTS}/{{model}}/baselines.csv",
    log:
        "logs/estimate/{model}.log",
    params:
        settings=METRICS_AND_INTERVALS,
        estimators=[entry.model_dump() for entry in cfg.estimators],
        code=code(
            "analysis.write",
            "analysis.shapley",
            "analysis.intervals",
            "analysis.ranks",
            "game.game",
            "plan.plan",
            "analysis.paper",
            "estimators.__init__",
            "estimators.values",
            "estimators.window",
            "estimators.ablation",
            "estimators.exact",
            "estimators.truncated",
            "estimators.replayed",
        ),
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
            values=[
                f"{RESULTS}/{_model}/{task}/values.parquet" for task in cfg.run_tasks
            ],
            baselines=f"{RESULTS}/{_model}/baselines.csv",
            cornerstones=layout.cornerstones(_model),
        output:
            [
                layout.interactions(_model, name, function)
                for name in layout.interaction_names(_model)
                for function in layout.value_functions
            ],
            **(
                {"distance": f"{RESULTS}/{_model}/by_distance.csv"}
                if layout.interaction_names(_model)
                else {}
            ),
            removed=f"{RESULTS}/{_model}/by_removed.csv",
            hypotheses=f"{RESULTS}/{_model}/hypotheses.csv",
        log:
            f"logs/interactions/{_model}.log",
        localrule: True
        params:
            model=_model,
            settings=METRICS_AND_INTERVALS,
            estimators=[entry.model_dump() for entry in cfg.estimators],
            interactions=[entry.model_dump() for entry in cfg.interactions],
            code=code(
                "analysis.write",
                "analysis.hypotheses",
                "analysis.shapley",
                "analysis.intervals",
                "analysis.ranks",
                "game.game",
                "estimators.__init__",
                "estimators.interactions",
                "estimators.replayed",
            ),
        message:
            f"Interactions and hypotheses of {_model}"
        script:
            "../scripts/interactions.py"


rule deletion_curves:
    input:
        [f"{RESULTS}/{{model}}/{task}/deletion.parquet" for task in cfg.run_tasks],
        values=f"{RESULTS}/{{model}}/shapley_{HEADLINE}.csv",
        drops=f"{RESULTS}/{{model}}/ablation.csv",
    output:
        f"{RESULTS}/{{model}}/deletion.csv",
    log:
        "logs/deletion_curves/{model}.log",
    params:
        settings=METRICS_AND_INTERVALS,
        deletion=cfg.deletion.model_dump(),
        code=code("analysis.deletion", "analysis.shapley", "analysis.intervals", "game.game", "plan.plan"),
    message:
        "Deletion curves of {wildcards.model}"
    script:
        "../scripts/deletion_curves.py"
