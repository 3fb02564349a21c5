from pathlib import Path

from snakemake.exceptions import WorkflowError
from snakemake.logging import logger

from cornerstone.errors import CornerstoneError
from cornerstone.plan.installed import check_installed

ROOT = Path(workflow.basedir)
try:  # before anything else is imported
    check_installed(ROOT)
except CornerstoneError as error:
    raise WorkflowError(str(error))

from cornerstone.assets.identity import identity
from cornerstone.assets.recipe import fetched
from cornerstone.cluster import image, preflight
from cornerstone.cluster.slurm import job_resources, resources_message
from cornerstone.config.config import load
from cornerstone.config.source import read as read_strictly
from cornerstone.config.pairs import name_of
from cornerstone.evaluate.altered import have_made_again
from cornerstone.evaluate.stale import note_stale
from cornerstone.game.game import ACCURACY
from cornerstone.plan import alone, fingerprint
from cornerstone.plan.asked import asked
from cornerstone.plan.fingerprint import code
from cornerstone.plan.layout import Layout, cornerstones
from cornerstone.plan.plan import chunk_sizes, plans as plans_of
from cornerstone.plan.snakemake import (
    ASKED,
    COMPARISON,
    DOCUMENTS,
    ESTIMATES,
    VALUES,
    check_coalition,
    chunk_note,
    command_line,
    config_files,
    evaluate_rule,
    note,
    prepare_jobs,
    retry_no_mistakes,
    share_memory,
)
from cornerstone.present import comparisons, figures, inner, progress, screen
from cornerstone.present.tables import TABLES, measured_by
from cornerstone.schedule import processor

prepare_jobs(ROOT)
inner.prepare(workflow, logger)

# A job that fails the first time has no older outputs to restore; hundreds of lines that say so bury the error.
logger.addFilter(lambda record: "no backup found" not in record.getMessage())

try:
    written = read_strictly(config_files()) if workflow.is_main_process else None
    cfg = load(config, written=written)
    plans = {model: plans_of(cfg, model) for model in cfg.run}
    chunks = {
        model: {task: plan.chunks for task, plan in plans[model].items()}
        for model in cfg.run
    }
    asked_for = asked(cfg, command_line(), workflow.is_main_process)
    recipes = fetched(cfg)
except CornerstoneError as error:
    raise WorkflowError(str(error))

layout = Layout(cfg)
image.share_binds(cfg, ROOT)

# Jobs parse the rules, too; only the process that decides what runs looks at what is there.
if workflow.is_main_process:
    retry_no_mistakes()
    try:
        have_made_again(cfg)
        note_stale(cfg, plans, asked_for)
    except CornerstoneError as error:
        raise WorkflowError(str(error))


# Only rules that use GPUs name the image. All others run in the Python that runs Snakemake: that is said with a
# function, because the linter wants to see a choice made.
container: lambda wildcards: None


wildcard_constraints:
    model="|".join(cfg.run),
    task="|".join(cfg.scored_tasks),
