# Tables and figures of the paper, for whatever models and tasks are active.
TABLES = [
    f"{RESULTS}/tables/{n}.{ending}"
    for n in ("table1", "table2", "table3", "table4", "hypotheses", "estimators")
    for ending in ("csv", "md", "tex")
]
FIGURES = [
    f"{RESULTS}/figures/{model}/{kind}.{ending}"
    for model in cfg.run
    for kind in layout.figure_kinds(model)
    for ending in ("svg", "pdf", "png")
]


localrules:
    tables,
    figure,
    summary,


rule tables:
    input:
        values=[
            f"{RESULTS}/{model}/{task}/values.parquet"
            for model in cfg.run
            for task in cfg.run_tasks
        ],
        cornerstones=[f"{RESULTS}/{model}/cornerstones.csv" for model in cfg.run],
        hypotheses=[f"{RESULTS}/{model}/hypotheses.csv" for model in cfg.run],
        estimators=[f"{RESULTS}/{model}/estimators.csv" for model in cfg.run],
    output:
        [
            (
                report(name, caption="../report/table.rst", category="Tables")
                if name.endswith(".csv")
                else name
            )
            for name in TABLES
        ],
    log:
        "logs/tables.log",
    params:
        settings=METRICS_AND_INTERVALS,
        headline=HEADLINE,
        code=code(
            "present.summary",
            "present.tables",
            "analysis.paper",
            "analysis.shapley",
            "game.game",
            "analysis.intervals",
            "estimators.__init__",
        ),
    message:
        "Tables"
    script:
        "../scripts/tables.py"


rule figure:
    input:
        values=f"{RESULTS}/{{model}}/shapley_{HEADLINE}.csv",
        drops=f"{RESULTS}/{{model}}/ablation.csv",
        baselines=f"{RESULTS}/{{model}}/baselines.csv",
        cornerstones=f"{RESULTS}/{{model}}/cornerstones.csv",
        own=lambda w: layout.figure_input(w.model, w.kind),
    output:
        report(
            f"{RESULTS}/figures/{{model}}/{{kind}}.svg",
            caption="../report/figure.rst",
            category="Figures",
            subcategory="{model}",
            labels={"figure": "{kind}"},
        ),
        f"{RESULTS}/figures/{{model}}/{{kind}}.pdf",
        f"{RESULTS}/figures/{{model}}/{{kind}}.png",
    log:
        "logs/figure/{model}/{kind}.log",
    wildcard_constraints:
        kind="shares|ablation|values|interactions|assumptions|deletion",
    params:
        code=code(
            "present.summary",
            "present.figures.paper",
            "present.figures.drawing",
            "present.figures.captions",
            "present.figures.interactions",
            "analysis.paper",
            "analysis.shapley",
        ),
    message:
        "Figure '{wildcards.kind}' of {wildcards.model}"
    script:
        "../scripts/figure.py"


rule summary:
    input:
        cornerstones=[f"{RESULTS}/{model}/cornerstones.csv" for model in cfg.run],
        baselines=[f"{RESULTS}/{model}/baselines.csv" for model in cfg.run],
        tables=[name for name in TABLES if name.endswith(".md")],
        figures=[name for name in FIGURES if name.endswith(".png")],
    output:
        report(
            f"{RESULTS}/summary.md",
            caption="../report/summary.rst",
            category="Summary",
        ),
    log:
        "logs/summary.log",
    params:
        headline=HEADLINE,
        level=cfg.intervals.level,
        code=code("present.summary", "present.figures.captions", "analysis.shapley", "analysis.paper"),
    message:
        "Summary"
    script:
        "../scripts/summary.py"
