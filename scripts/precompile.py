"""Write the bytecode of what the workflow's processes import: called by make after it has installed the packages.

pip does not do it, as `--no-compile` says: all 18,000 files of the packages take minutes, those that are imported a
quarter of one. Python itself would write them on first use, but not where PYTHONDONTWRITEBYTECODE is set, as in many
container images, nor where the environment is read-only: there each of the 30 processes of a run compiles them anew,
up to ten seconds in each. This folder's own files are compiled, too, and what they mean is kept
(`cornerstone.plan.meaning`). transformers imports most of its own modules when a model is loaded, so one is.
"""

import compileall
import importlib
import sys
import tempfile
from pathlib import Path
from typing import Any

sys.dont_write_bytecode = False

MODULES = (
    "snakemake.cli",
    "snakemake.report.html_reporter",
    "snakemake.script",
    "snakemake.scheduling.greedy",
    "pulp",
    "lm_eval.models.huggingface",
    "lm_eval.tasks",
    "datasets",
    "gguf",
    "accelerate",
    "transformers.convert_slow_tokenizer",
    "transformers.models.auto.tokenization_auto",
    "transformers.tokenization_utils_tokenizers",
    "pandas",
    "pyarrow.parquet",
    "scipy.special",
    "scipy.stats",
    "matplotlib.figure",
    "matplotlib.backends.backend_agg",
    "matplotlib.backends.backend_pdf",
    "matplotlib.backends.backend_svg",
    "shapiq",
)

for module in MODULES:
    importlib.import_module(module)

from transformers import AutoModelForCausalLM, LlamaConfig  # noqa: E402
from transformers.utils.logging import disable_progress_bar  # noqa: E402

from cornerstone.plan.meaning import meaning  # noqa: E402

sizes: dict[str, Any] = {
    "hidden_size": 8,
    "intermediate_size": 8,
    "num_attention_heads": 1,
    "num_hidden_layers": 1,
    "vocab_size": 8,
}
disable_progress_bar()
with tempfile.TemporaryDirectory() as folder:
    AutoModelForCausalLM.from_config(LlamaConfig(**sizes)).save_pretrained(folder)
    AutoModelForCausalLM.from_pretrained(folder)

ROOT = Path(__file__).parents[1]
for ours in ("cornerstone", "scripts", "snakemake_logger_plugin_cornerstone"):
    compileall.compile_dir(ROOT / ours, quiet=1)
    for path in (ROOT / ours).rglob("*.py"):
        meaning(path)
