# Two models side by side, as `compare` in the config names them: from the tables of values of both to what readers see.
PAIRS = {name_of(pair): pair for pair in cfg.pairs}
COMPARED = {name: layout.compared(pair) for name, pair in PAIRS.items()}
COMPARISON_TABLES = {
    table.name: [
        shown[table.reads] for shown in COMPARED.values() if table.reads in shown
    ]
    for table in comparisons.TABLES
}
COMPARISON_TABLE_FILES = [
    path
    for name, read in COMPARISON_TABLES.items()
    if read
    for path in layout.table(name)
]
COMPARISON_FIGURE_FILES = [
    path
    for name, shown in COMPARED.items()
    for kind in figures.kinds(shown, figures.COMPARISONS)
    for path in layout.comparison_figure(name, kind)
]


wildcard_constraints:
    pair="|".join(PAIRS) or "none",


# Rules are made in a loop, as only equal players have differences.
for _name, _pair in PAIRS.items():

    rule:
        name:
            f"compare_{_name}"
        input:
            first=[layout.values(_pair[0], task) for task in cfg.scored_tasks],
            second=[layout.values(_pair[1], task) for task in cfg.scored_tasks],
            note=note(cfg, _name, COMPARISON),
        output:
            tables=list(COMPARED[_name].values()),
            provenance=layout.comparison_provenance(_pair),
        log:
            f"{layout.logs}/compare/{_name}.log",
        retries: 0
        localrule: True
        params:
            pair=_pair,
            settings=SETTINGS,
            estimators=ESTIMATORS,
            code=code(*fingerprint.ESTIMATES, script="compare"),
        message:
            f"Comparing {_pair[0]} and {_pair[1]}"
        script:
            "../scripts/compare.py"


if COMPARISON_TABLE_FILES:

    rule comparison_tables:
        input:
            **{
                table.reads: COMPARISON_TABLES[table.name]
                for table in comparisons.TABLES
                if COMPARISON_TABLES[table.name]
            },
        output:
            [
                (
                    report(
                        path,
                        caption="../report/comparison_table.rst",
                        category="Tables",
                    )
                    if path.endswith(".csv")
                    else path
                )
                for path in COMPARISON_TABLE_FILES
            ],
        log:
            f"{layout.logs}/comparison_tables.log",
        retries: 0
        localrule: True
        params:
            code=code(*fingerprint.PICTURES, script="comparison_tables"),
        message:
            "Tables of comparisons"
        script:
            "../scripts/comparison_tables.py"

    rule comparison_figure:
        input:
            unpack(
                lambda w: {
                    name: COMPARED[w.pair][name]
                    for name in figures.figure(w.kind).reads
                }
            ),
        output:
            report(
                layout.comparison_figure("{pair}", "{kind}")[0],
                caption="../report/comparison.rst",
                category="Figures",
                subcategory="{pair}",
                labels={"figure": "{kind}"},
            ),
            layout.comparison_figure("{pair}", "{kind}")[1:],
        log:
            f"{layout.logs}/comparison_figure/{{pair}}/{{kind}}.log",
        wildcard_constraints:
            kind="|".join(entry.kind for entry in figures.COMPARISONS),
        retries: 0
        localrule: True
        params:
            pair=lambda w: PAIRS[w.pair],
            level=cfg.intervals.level,
            code=code(*fingerprint.PICTURES, script="comparison_figure"),
        message:
            "Figure '{wildcards.kind}' of {wildcards.pair}"
        script:
            "../scripts/comparison_figure.py"
