import os
import sys
from pathlib import Path

from snakemake.exceptions import WorkflowError

# The package lies beside the Snakefile and is not installed; jobs inherit this.
sys.path.insert(0, workflow.basedir)
os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [workflow.basedir, os.environ.get("PYTHONPATH")]))
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

from cornerstone import store
from cornerstone.config import check
from cornerstone.errors import CornerstoneError
from cornerstone.workflow import Layout, check_coalition, code

try:
    cfg = check(config)
except CornerstoneError as error:
    raise WorkflowError(str(error))

layout = Layout(cfg)
RESULTS = layout.results
HEADLINE = f"window-k{cfg.estimators.window[0]}"
DELETION = bool(cfg.deletion.orders)


container: cfg.container


wildcard_constraints:
    model="|".join(cfg.run),
    task="|".join(cfg.run_tasks),
