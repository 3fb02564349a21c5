# One job per model, task and chunk: the model is loaded once and its coalitions are swept together. The outputs
# are marked `update`, so a job that died keeps what it had finished, and a rerun makes only what is missing.


def evaluate_input(model):
    return {
        "marker": layout.model_marker(model),
        "documents": lambda w: layout.documents_for(model, w.task),
        "note": note(cfg, model, "{task}"),
    }


def evaluate_params(model):
    return {
        "model": model,
        "fingerprint": lambda w: fingerprint.of_result(cfg, model, w.task),
        "limit": lambda w: cfg.limit(model, w.task),
    }


def checked_coalition(model, name):
    try:
        return check_coalition(cfg, model, name)
    except CornerstoneError as error:
        raise WorkflowError(str(error))


for _model in cfg.run:
    for _chunk, _names in enumerate(plans[_model].chunks):

        rule:
            name:
                evaluate_rule(_model, _chunk)
            input:
                **evaluate_input(_model),
            output:
                [update(layout.coalition(_model, "{task}", name)) for name in _names],
            log:
                f"logs/evaluate/{_model}/{{task}}.{_chunk}.log",
            container:
                cfg.container
            threads: cfg.models[_model].threads
            resources:
                **job_resources(cfg.models[_model], Path(layout.model_marker(_model))),
            params:
                **evaluate_params(_model),
            message:
                f"Evaluating {len(_names)} coalitions of {_model} on {{wildcards.task}}{resources_message(cfg.models[_model])}"
            script:
                "../scripts/evaluate.py"

    # Any other coalition is a target, too.
    rule:
        name:
            f"evaluate_any_{_model}"
        input:
            **evaluate_input(_model),
        output:
            update(layout.coalition(_model, "{task}", "{coalition}")),
        log:
            f"logs/evaluate/{_model}/{{task}}.{{coalition}}.log",
        wildcard_constraints:
            coalition=unplanned(names[_model]),
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

    # Deletion curves remove players in an order that is only known once values are estimated. Their coalitions go
    # to a folder of their own; what the plan has evaluated is not computed again.
    rule:
        name:
            f"deletion_{_model}"
        input:
            **evaluate_input(_model),
            values=layout.shown(_model)["shapley"],
            drops=layout.shown(_model)["ablation"],
        output:
            layout.deletion_values(_model, "{task}"),
        log:
            f"logs/deletion/{_model}/{{task}}.log",
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
