# What jobs need is looked at before any is submitted. `snakemake preflight` lists it all and starts nothing else.
localrules:
    preflight,


rule preflight:
    log:
        f"{layout.logs}/preflight.log",
    retries: 0
    params:
        how=lambda w: vars(preflight.Circumstances.of(workflow)),
    message:
        "Looking at what jobs need"
    script:
        "../scripts/preflight.py"


onstart:
    evaluations = sum(
        bool(job.container_img_url) for job in workflow.dag.needrun_jobs()
    )
    share_memory(workflow, cfg, evaluations)
    # What is fetched or only shown does not matter: it may go on beside a run.
    if any(
        Path(path).is_relative_to(cfg.paths.results)
        for job in workflow.dag.needrun_jobs()
        for path in job.output
    ):
        try:
            alone.keep(Path(cfg.paths.results))
        except CornerstoneError as error:
            raise WorkflowError(str(error))
    # Jobs of the cluster parse this file, too, but run no such hook. The rule above does its own looking.
    if evaluations:
        how = preflight.Circumstances.of(workflow)
        if how.container or how.cluster:
            try:
                preflight.require(preflight.look(cfg, how, fetched=False))
            except CornerstoneError as error:
                raise WorkflowError(str(error))
        if not how.cluster:
            for slow in processor.slow_formats(
                {name: cfg.models[name] for name in cfg.run},
                processor.instructions(),
            ):
                logger.warning(slow)
    work = progress.work_of(workflow.dag.needrun_jobs(), cfg)
    logger.info(f"To evaluate: {work}", extra={screen.WORK: work})
