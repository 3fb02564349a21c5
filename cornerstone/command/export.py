"""`cornerstone export`: results as one file to send, or in an experiment tracker."""

from __future__ import annotations

import importlib
import os
import tempfile
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from cornerstone import __version__, reading
from cornerstone.command.said import Said
from cornerstone.config.config import Config
from cornerstone.errors import AssetError, ConfigError, CornerstoneError, StoreError, UnreadableError, first_line
from cornerstone.files import on_disk, read_csv
from cornerstone.game.game import MEAN
from cornerstone.outputs.results import PACKAGE
from cornerstone.plan import layout
from cornerstone.plan.layout import Layout

TARGETS = ("zip", "wandb", "mlflow")
"""Where results can go."""
NAME = "cornerstone"
"""Project (W&B) or experiment (MLflow) that they go to."""
PAGES = ("summary.md", "index.html", "compare.html", "README.md")


def export(config: Config, to: str, out: Path | None = None, overwrite: bool = False) -> Said:
    """Send finished results somewhere.

    Args:
        config: the configuration.
        to: one of `TARGETS`. `zip`: the data package with its files, pages and figures. `wandb`, `mlflow`: a run with
            the configuration, the main numbers, the tables and the pages; these packages are installed apart
            (`pip install wandb`), and their own environment variables say where they write.
        out: the zip file.
        overwrite: replace it.

    Raises:
        ConfigError: there is no such target.
        StoreError: results are missing.
        AssetError: the package is not installed, or the file exists, or its folder does not, or it can't be written.
    """
    files = exported(config)
    if to == "zip":
        return _zip(config, files, out or Path(f"{Path(config.paths.results).name}.zip"), overwrite)
    if to not in TARGETS:
        raise ConfigError(f"--to: there is no '{to}'; choose {', '.join(TARGETS)}.")
    library = _library(to)
    send = _wandb if to == "wandb" else _mlflow
    found = numbers(config)
    try:
        where = send(library, config, files, found)
    except CornerstoneError:
        raise
    except Exception as error:  # both libraries raise kinds of their own, for logins, servers and folders
        raise AssetError(f"{to} does not take the results: {first_line(error)}") from error
    return Said(f"{len(files)} files are in {to}: {where}", {"to": to, "run": where, "files": len(files)})


def exported(config: Config) -> list[Path]:
    """The data package, the files that it lists, the pages and the figures.

    Raises:
        StoreError: there is no data package, or a file of it is missing.
    """
    root = Path(config.paths.results)
    path = root / PACKAGE
    try:
        listed = [root / resource["path"] for resource in reading.parsed(path)["resources"]]
    except (UnreadableError, OSError, ValueError, KeyError, TypeError) as error:
        raise reading.unread(path, error, "Run the workflow to make it.") from error
    if missing := [file for file in listed if not file.is_file()]:
        raise StoreError(f"{missing[0]} is missing, which {path} lists. Run the workflow again.")
    pages = [root / name for name in PAGES] + [root / f"{model}.html" for model in config.run]
    pictures = sorted((root / "figures").rglob("*.*")) if (root / "figures").is_dir() else []
    return list(dict.fromkeys([path, *listed, *(page for page in pages if page.is_file()), *pictures]))


def numbers(config: Config) -> dict[str, float]:
    """The main numbers of a run: name -> value, for a tracker's charts."""
    paths, found = Layout(config), {}
    for model in config.run:
        for row in read_csv(Path(paths.csv(model, "baselines"))).to_dict("records"):
            found[f"{model}/original/{row['task']}"] = float(row["original"])
        for function in config.functions:
            values = read_csv(Path(paths.csv(model, layout.shapley(config.headline.name, function))))
            for row in values[values["task"] == MEAN].to_dict("records"):
                found[f"{model}/{function}/{row['player']}"] = float(row["value"])
    return found


def _zip(config: Config, files: list[Path], out: Path, overwrite: bool) -> Said:
    if out.exists() and not overwrite:
        raise AssetError(f"{out} exists. Choose another --out, or replace it: --overwrite.")
    if not out.parent.is_dir():
        raise AssetError(f"{out} can't be written: there is no folder {out.parent}. Make it, or choose another --out.")
    root = Path(config.paths.results)
    try:
        with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}.") as folder:
            temporary = Path(folder) / out.name
            with zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as archive:
                for file in files:
                    archive.write(file, file.relative_to(root))
            on_disk(temporary)
            os.replace(temporary, out)
            on_disk(out.parent)
    except OSError as error:
        raise AssetError(f"{out} can't be written: {error}. Choose another --out.") from error
    text = f"{out}: {len(files)} files. Unpacked, cornerstone.load(FOLDER) reads them."
    return Said(text, {"to": "zip", "file": str(out), "files": len(files)})


def _library(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise AssetError(f"--to {name} needs the package {name}, which is not here: pip install {name}.") from error


def _settings(config: Config) -> dict[str, Any]:
    return {"cornerstone": __version__, **config.model_dump(mode="json")}


def _tables(config: Config, files: list[Path]) -> Mapping[str, pd.DataFrame]:
    root = Path(config.paths.results)
    return {f.relative_to(root).with_suffix("").as_posix(): read_csv(f) for f in files if f.suffix == ".csv"}


def _wandb(wandb: Any, config: Config, files: list[Path], found: Mapping[str, float]) -> str:
    with wandb.init(project=os.environ.get("WANDB_PROJECT", NAME), config=_settings(config), job_type="results") as run:
        run.summary.update(found)
        tables = _tables(config, files).items()
        run.log({name.replace("/", "."): wandb.Table(dataframe=table) for name, table in tables})
        artifact = wandb.Artifact("results", type="results")
        for file in files:
            artifact.add_file(str(file), file.relative_to(config.paths.results).as_posix())
        run.log_artifact(artifact)
        return str(run.url or run.dir)


def _mlflow(mlflow: Any, config: Config, files: list[Path], found: Mapping[str, float]) -> str:
    if "MLFLOW_EXPERIMENT_NAME" not in os.environ and "MLFLOW_EXPERIMENT_ID" not in os.environ:
        mlflow.set_experiment(NAME)
    with mlflow.start_run() as run:
        mlflow.log_dict(_settings(config), "config.json")
        mlflow.log_params({"models": " ".join(config.run), "tasks": " ".join(config.run_tasks), "version": __version__})
        mlflow.log_metrics({name.replace("/", "."): value for name, value in found.items()})
        for file in files:
            folder = file.relative_to(config.paths.results).parent.as_posix()
            mlflow.log_artifact(str(file), None if folder == "." else folder)
        return f"{mlflow.get_tracking_uri()}, run {run.info.run_id}"
