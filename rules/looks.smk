# Where the config has `until`: is a model's result settled at the present number of documents? `cornerstone run` reads
# what these rules write, and raises the number between its rounds (cornerstone/command/rounds.py).
for _model in cfg.run if cfg.until else []:

    rule:
        name:
            f"look_{_model}"
        input:
            values=[layout.values(_model, task) for task in cfg.scored_tasks],
            documents=[layout.documents_for(_model, task) for task in cfg.scored_tasks],
            estimates=layout.provenance(_model),
        output:
            layout.look(_model),
        log:
            f"{layout.logs}/look/{_model}.log",
        retries: 0
        localrule: True
        params:
            model=_model,
            settings=SETTINGS,
            estimators=ESTIMATORS,
            until=cfg.until.model_dump(),
            code=code(*fingerprint.ESTIMATES, script="look"),
        message:
            f"Looking whether {_model} is settled at {cfg.look(_model).documents} documents a task"
        script:
            "../scripts/look.py"
