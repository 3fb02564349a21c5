import sys
from pathlib import Path

from snakemake.exceptions import WorkflowError
from snakemake.logging import logger

# The package lies beside the Snakefile and is not installed.
sys.path.insert(0, workflow.basedir)

from cornerstone.cluster import image, preflight
from cornerstone.cluster.slurm import job_resources, shown
from cornerstone.config.config import check
from cornerstone.errors import CornerstoneError
from cornerstone.plan.layout import (
    Layout,
    check_coalition,
    code,
    fingerprint,
    share_with_jobs,
)
from cornerstone.present import inner

share_with_jobs(workflow.basedir)
inner.prepare(workflow, logger)

# A job that fails the first time has no older outputs to restore; hundreds of lines that say so bury the error.
logger.addFilter(lambda record: "no backup found" not in record.getMessage())

try:
    cfg = check(config)
except CornerstoneError as error:
    raise WorkflowError(str(error))

layout = Layout(cfg)
RESULTS = layout.results
HEADLINE = layout.headline


image.share_binds(cfg, Path(workflow.basedir))


# Only rules that use GPUs name the image. All others run in the Python that runs Snakemake: that is said with a
# function, because the linter wants to see a choice made.
container: lambda wildcards: None


wildcard_constraints:
    model="|".join(cfg.run),
    task="|".join(cfg.run_tasks),
