"""Make tables and figures of README.md and the documentation from studies/results/: `python scripts/findings.py`.

With results folders of runs of studies/models.yaml and studies/removal.yaml as its arguments, it takes the CSV files of
these runs over first.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pandas as pd
import yaml
from matplotlib.figure import Figure

from cornerstone.files import read_csv, write_text
from cornerstone.present.figures import figure
from cornerstone.present.figures.across import across
from cornerstone.present.figures.agreement import agreement
from cornerstone.present.figures.drawing import save_figure
from cornerstone.present.findings import TABLES, Model, agreements, clearest, filled, sections

ROOT = Path(__file__).parents[1]
KEPT = ROOT / "studies" / "results" / "models"
REMOVAL = ROOT / "studies" / "results" / "removal"
PAGES = (ROOT / "README.md", ROOT / "docs" / "findings.md", ROOT / "docs" / "explanation" / "removal.md")
FIGURES = ROOT / "docs" / "figures"


def order() -> list[str]:
    """The models of the study, as its file lists them."""
    study = yaml.safe_load((ROOT / "studies" / "models.yaml").read_text(encoding="utf-8"))
    return [str(name) for name in study["run"]]


AGREED = {"accuracy": "", "margin": "_margin", "log-probability": "_log-probability"}
"""Value functions, and what the names of a comparison's CSV files end in for them."""


def removals() -> dict[str, dict[str, pd.DataFrame]]:
    """Model -> value function -> how far two removals agree, of the models whose CSV files are in the repository."""
    folders = sorted(path for path in REMOVAL.glob("*--*") if path.is_dir())
    return {
        folder.name.partition("--")[0]: {
            function: read_csv(folder / f"agreement{end}.csv") for function, end in AGREED.items()
        }
        for folder in folders
    }


def texts() -> dict[str, str]:
    """What stands in the places of the pages."""
    found = removals()
    table = agreements(found) if found else "*The study has not been run to the end yet: there is no table.*"
    return sections(kept()) | {"removals": table}


def take(results: Path) -> None:
    """Copy the CSV files of a run, of those models, or pairs of removals, that are finished."""
    for folder in sorted((results / "compare").glob("*--*-mean")):
        if all((folder / f"agreement{end}.csv").is_file() for end in AGREED.values()):
            (REMOVAL / folder.name).mkdir(parents=True, exist_ok=True)
            for source in (*folder.glob("agreement*.csv"), folder / "differences.csv"):
                shutil.copyfile(source, REMOVAL / folder.name / source.name)
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
    made = texts()
    for page in PAGES:
        write_text(page, filled(page.read_text(encoding="utf-8"), made))
    for pair in sorted(REMOVAL.glob("*--*")):
        differences, agreed = read_csv(pair / "differences.csv"), read_csv(pair / "agreement.csv")
        of = pair.name.partition("--")[0]
        save(agreement(differences, agreed, f"{of}: nothing, or the mean contribution", 6.3), f"{of}-removals.png")
    ablation = {model.name: model.tables["ablation"] for model in models}
    baselines = {model.name: model.tables["baselines"] for model in models}
    save(across(ablation, baselines), "models.png")
    name = clearest(models).name
    frames = {"ablation": ablation[name], "baselines": baselines[name]}
    save(figure("ablation").draw(frames, name), "clearest-ablation.png")


def save(drawn: Figure, name: str) -> None:
    """Save a figure of the documentation."""
    save_figure(drawn, [FIGURES / name], noted=False)


if __name__ == "__main__":
    main(sys.argv[1:])
