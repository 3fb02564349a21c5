"""Make the tables and figures of README.md and docs/findings.md from studies/results/: `python scripts/findings.py`.

With the results folder of a run of studies/models.yaml as its argument, it takes that run's CSV files over first.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path

import yaml
from matplotlib.figure import Figure

from cornerstone.files import write_text
from cornerstone.present.figures import figure
from cornerstone.present.figures.across import across
from cornerstone.present.figures.drawing import save_figure
from cornerstone.present.findings import TABLES, Model, clearest, filled

ROOT = Path(__file__).parents[1]
KEPT = ROOT / "studies" / "results" / "models"
PAGES = (ROOT / "README.md", ROOT / "docs" / "findings.md")
FIGURES = ROOT / "docs" / "figures"


def order() -> list[str]:
    """The models of the study, as its file lists them."""
    study = yaml.safe_load((ROOT / "studies" / "models.yaml").read_text(encoding="utf-8"))
    return [str(name) for name in study["run"]]


def take(results: Path) -> None:
    """Copy the CSV files of a run, of those models that are finished."""
    for name in order():
        sources = [results / name / f"{stem}.csv" for stem in TABLES]
        if all(source.is_file() for source in sources):
            (KEPT / name).mkdir(parents=True, exist_ok=True)
            for source in sources:
                shutil.copyfile(source, KEPT / name / source.name)


def kept() -> list[Model]:
    """The models whose CSV files are in the repository, in the order of the study."""
    return [Model.read(KEPT / name) for name in order() if (KEPT / name).is_dir()]


def main(arguments: list[str]) -> None:
    """Take results over where a folder is named, then make pages and figures."""
    for folder in arguments:
        take(Path(folder))
    models = kept()
    for page in PAGES:
        write_text(page, filled(page.read_text(encoding="utf-8"), models))
    ablation = {model.name: model.tables["ablation"] for model in models}
    baselines = {model.name: model.tables["baselines"] for model in models}
    save(across(ablation, baselines), "models.png")
    name = clearest(models).name
    frames = {"ablation": ablation[name], "baselines": baselines[name]}
    save(figure("ablation").draw(frames, name), "clearest-ablation.png")


def save(drawn: Figure, name: str) -> None:
    """Save a figure of the documentation, without the note of its checksum that a figure of results has."""
    with tempfile.TemporaryDirectory() as folder:
        save_figure(drawn, [Path(folder) / name])
        shutil.copyfile(Path(folder) / name, FIGURES / name)


if __name__ == "__main__":
    main(sys.argv[1:])
