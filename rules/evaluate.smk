# One job per model, task and chunk: the model is loaded once and its coalitions are swept together. Snakemake is told of
# one file, which says that the chunk's results are there: it would take minutes to match tens of thousands. A job that
# died keeps what it had finished, and a rerun makes only what is missing.


def evaluate_input(model, task=None, what=None):
    return {
        "marker": layout.model_marker(model),
        "documents": lambda w: layout.documents_for(model, task or w.task),
        "reference": layout.reference(model),
        **({"note": note(cfg, model, what)} if what else {}),
    }


def evaluate_params(model, task=None, chunk=None):
    return {
        "model": model,
        "task": lambda w: task or w.task,
        "fingerprint": lambda w: fingerprint.of_result(cfg, model, task or w.task),
        "chunk": chunk,
    }


def checked_coalition(model, name):
    try:
        return check_coalition(cfg, model, name)
    except CornerstoneError as error:
        raise WorkflowError(str(error))


for _model in cfg.run:
    for _chunk, _size in enumerate(chunk_sizes(plans[_model])):

        rule:
            name:
                evaluate_rule(_model, _chunk)
            input:
                **evaluate_input(_model, what=chunk_note("{task}", _chunk)),
            output:
                update(layout.chunk(_model, "{task}", _chunk)),
            log:
                f"{layout.logs}/evaluate/{_model}/{{task}}.{_chunk}.log",
            container:
                cfg.container
            threads: cfg.models[_model].threads
            resources:
                **job_resources(cfg.models[_model], Path(layout.model_marker(_model))),
            params:
                **evaluate_params(_model, chunk=_chunk),
            message:
                f"Evaluating {_size} coalitions of {_model} on {{wildcards.task}}{resources_message(cfg.models[_model])}"
            script:
                "../scripts/evaluate.py"

    # A coalition that a rule of yours needs.
    rule:
        name:
            f"evaluate_any_{_model}"
        input:
            **evaluate_input(_model, what=f"{{task}}{ASKED}"),
        output:
            update(layout.coalition(_model, "{task}", "{coalition}")),
        log:
            f"{layout.logs}/evaluate/{_model}/{{task}}.{{coalition}}.log",
        wildcard_constraints:
            coalition="[a-z0-9-]+",
        container:
            cfg.container
        threads: cfg.models[_model].threads
        resources:
            **job_resources(cfg.models[_model], Path(layout.model_marker(_model))),
        params:
            **evaluate_params(_model),
            checked=lambda w, model=_model: checked_coalition(model, w.coalition),
        message:
            f"Evaluating {{wildcards.coalition}} of {_model} on {{wildcards.task}}{resources_message(cfg.models[_model])}"
        script:
            "../scripts/evaluate.py"

    # How much each player turns the residual stream: one pass of the whole model, for deletion curves in that order.
    rule:
        name:
            f"influence_{_model}"
        input:
            **evaluate_input(_model),
        output:
            layout.influence(_model, "{task}"),
        log:
            f"{layout.logs}/influence/{_model}/{{task}}.log",
        container:
            cfg.container
        threads: cfg.models[_model].threads
        resources:
            **job_resources(cfg.models[_model], Path(layout.model_marker(_model))),
        params:
            **evaluate_params(_model),
            limit=lambda w, model=_model: cfg.limit(model, w.task),
            code=code(*fingerprint.VALUES, script="influence"),
        message:
            f"Block influence of {_model} on {{wildcards.task}}{resources_message(cfg.models[_model])}"
        script:
            "../scripts/influence.py"

    # Deletion curves remove players in an order that is only known once values are estimated. Their coalitions go
    # to a folder of their own; what the plan has evaluated is not computed again.
    rule:
        name:
            f"deletion_{_model}"
        input:
            **evaluate_input(_model),
            orders=layout.csv(_model, "orders"),
            influence=layout.influences(_model),
        output:
            layout.deletion_values(_model, "{task}"),
        log:
            f"{layout.logs}/deletion/{_model}/{{task}}.log",
        container:
            cfg.container
        threads: cfg.models[_model].threads
        resources:
            **job_resources(cfg.models[_model], Path(layout.model_marker(_model))),
        params:
            **evaluate_params(_model),
            made_by=lambda w, model=_model: fingerprint.of_values(cfg, model, w.task),
            deletion=cfg.deletion.model_dump(),
            code=code(*fingerprint.VALUES, *fingerprint.ESTIMATES, script="deletion"),
        message:
            f"Evaluating the deletion curves of {_model} on {{wildcards.task}}{resources_message(cfg.models[_model])}"
        script:
            "../scripts/deletion.py"

    # Some of the plan's coalitions once more, with other batches and threads and in float32: how far numbers are exact.
    if cfg.noise.coalitions:

        rule:
            name:
                f"noise_{_model}"
            input:
                marker=layout.model_marker(_model),
                documents=[
                    layout.documents_for(_model, task) for task in cfg.sampled_tasks
                ],
                chunks=[
                    layout.chunk(_model, task, number)
                    for task in cfg.sampled_tasks
                    for number in range(len(chunks[_model][task]))
                ],
                reference=layout.reference(_model),
            output:
                layout.noise(_model),
            log:
                f"{layout.logs}/noise/{_model}.log",
            container:
                cfg.container
            threads: cfg.models[_model].threads
            resources:
                **job_resources(cfg.models[_model], Path(layout.model_marker(_model))),
            params:
                model=_model,
                fingerprints=[
                    fingerprint.of_result(cfg, _model, task)
                    for task in cfg.sampled_tasks
                ],
                noise=cfg.noise.model_dump(),
                code=code(*fingerprint.VALUES, script="noise"),
            message:
                f"Noise floor of {_model}{resources_message(cfg.models[_model])}"
            script:
                "../scripts/noise.py"


# Coalitions that are asked for by name, planned or not: these and no others, in one job for each model and task.
for _asked in asked_for:

    rule:
        name:
            _asked.rule
        input:
            **evaluate_input(_asked.model, _asked.task, what=f"{_asked.task}{ASKED}"),
        output:
            [
                update(layout.coalition(_asked.model, _asked.task, name))
                for name in _asked.names
            ],
        log:
            f"{layout.logs}/evaluate/{_asked.model}/{_asked.task}.{_asked.log}.log",
        container:
            cfg.container
        threads: cfg.models[_asked.model].threads
        resources:
            **job_resources(
                cfg.models[_asked.model], Path(layout.model_marker(_asked.model))
            ),
        params:
            **evaluate_params(_asked.model, _asked.task),
        message:
            f"Evaluating {len(_asked.names)} coalitions of {_asked.model} on {_asked.task}{resources_message(cfg.models[_asked.model])}"
        script:
            "../scripts/evaluate.py"
