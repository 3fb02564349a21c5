# Tables and figures of the paper, for whatever models and tasks are active.
SHOWN = {model: layout.shown(model) for model in cfg.run}
TABLE_FILES = [path for table in TABLES for path in layout.table(table.name)]
OTHERS = [
    (model, function)
    for model in cfg.run
    for function in cfg.functions
    if function != ACCURACY
]
FIGURE_FILES = [
    path
    for model in cfg.run
    for kind in figures.kinds(SHOWN[model])
    for path in layout.figure(model, kind)
]


localrules:
    tables,
    figure,
    summary,
    page,
    package,


rule tables:
    input:
        **{
            table.reads: [SHOWN[model][table.reads] for model in cfg.run]
            for table in TABLES
        },
    output:
        [
            (
                report(path, caption="../report/table.rst", category="Tables")
                if path.endswith(".csv")
                else path
            )
            for path in TABLE_FILES
        ],
    log:
        f"{layout.logs}/tables.log",
    retries: 0
    params:
        note=measured_by(cfg),
        code=code(*fingerprint.PICTURES, script="tables"),
    message:
        "Tables"
    script:
        "../scripts/tables.py"


rule figure:
    input:
        unpack(
            lambda w: {
                name: SHOWN[w.model][name] for name in figures.figure(w.kind).reads
            }
        ),
    output:
        report(
            layout.figure("{model}", "{kind}")[0],
            caption="../report/figure.rst",
            category="Figures",
            subcategory="{model}",
            labels={"figure": "{kind}"},
        ),
        layout.figure("{model}", "{kind}")[1:],
    log:
        f"{layout.logs}/figure/{{model}}/{{kind}}.log",
    wildcard_constraints:
        kind="|".join(entry.kind for entry in figures.FIGURES),
    retries: 0
    params:
        level=cfg.intervals.level,
        code=code(*fingerprint.PICTURES, script="figure"),
    message:
        "Figure '{wildcards.kind}' of {wildcards.model}"
    script:
        "../scripts/figure.py"


rule summary:
    input:
        cornerstones=[SHOWN[model]["cornerstones"] for model in cfg.run],
        baselines=[SHOWN[model]["baselines"] for model in cfg.run],
        functions=[
            layout.csv(model, cornerstones(function)) for model, function in OTHERS
        ],
        noise=[path for model in cfg.run for path in layout.noise(model)],
        concentration=[shown["concentration"] for shown in COMPARED.values()],
        agreement=[
            shown["agreement"] for shown in COMPARED.values() if "agreement" in shown
        ],
        tables=[
            path
            for path in [*TABLE_FILES, *COMPARISON_TABLE_FILES]
            if path.endswith(".md")
        ],
        figures=[path for path in FIGURE_FILES if path.endswith(".png")],
        compared=[path for path in COMPARISON_FIGURE_FILES if path.endswith(".png")],
    output:
        report(
            layout.summary,
            caption="../report/summary.rst",
            category="Summary",
        ),
    log:
        f"{layout.logs}/summary.log",
    retries: 0
    params:
        headline=cfg.headline.name,
        level=cfg.intervals.level,
        functions=OTHERS,
        code=code(*fingerprint.PICTURES, script="summary"),
    message:
        "Summary"
    script:
        "../scripts/summary.py"


# The page to read first. What flips without a layer is read from the results of coalitions: each is as old as its table
# of values.
rule page:
    input:
        values=[
            layout.values(model, task)
            for model in cfg.run
            for task in cfg.scored_tasks
        ],
        documents=[
            layout.documents_for(model, task)
            for model in cfg.run
            for task in cfg.scored_tasks
        ],
        estimates=[
            path
            for model in cfg.run
            for path in [
                *layout.estimates(model),
                layout.provenance(model),
                *layout.relations(model),
                *layout.deletion(model),
                *layout.noise(model),
            ]
        ],
        compared=[path for shown in COMPARED.values() for path in shown.values()],
        tables=TABLE_FILES,
        figures=[*FIGURE_FILES, *COMPARISON_FIGURE_FILES],
        package=ancient(layout.package),  # that it is there is all that matters
    output:
        layout.pages,
    log:
        f"{layout.logs}/page.log",
    retries: 0
    params:
        headline=cfg.headline.name,
        level=cfg.intervals.level,
        code=code(*fingerprint.PICTURES, script="page"),
    message:
        f"The page: {layout.index}"
    script:
        "../scripts/page.py"


# What every file and column is, for programs: datapackage.json.
rule package:
    input:
        [
            *[
                path
                for model in cfg.run
                for path in SHOWN[model].values()
                if path.endswith(".csv")
            ],
            *[path for model in cfg.run for path in layout.influences(model)],
            *[
                layout.values(model, task)
                for model in cfg.run
                for task in cfg.scored_tasks
            ],
            *[path for shown in COMPARED.values() for path in shown.values()],
            *[
                path
                for path in [*TABLE_FILES, *COMPARISON_TABLE_FILES]
                if path.endswith(".csv")
            ],
            layout.summary,
        ],
    output:
        layout.package,
    log:
        f"{layout.logs}/package.log",
    retries: 0
    params:
        code=code(*fingerprint.DESCRIBED, script="package"),
    message:
        "Describing the files"
    script:
        "../scripts/package.py"
