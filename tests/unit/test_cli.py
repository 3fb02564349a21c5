"""The `cornerstone` command: what each subcommand calls, what it prints, and its exit codes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any, cast

import pytest
import typer
import yaml

import cornerstone
from cornerstone import cli
from cornerstone.cluster import image
from cornerstone.command import reference as cli_page
from cornerstone.command import running, state
from cornerstone.command.said import Said
from cornerstone.config import reference
from cornerstone.config.config import Config
from cornerstone.evaluate import adopt
from cornerstone.files import sha256
from cornerstone.outputs import page as outputs_page
from tests.helpers import ROOT, configured, raw

COMMANDS = [
    ["run"],
    ["plan"],
    ["status"],
    ["doctor"],
    ["where"],
    ["open"],
    ["show", "drop-ffn0"],
    ["explain", "ffn0"],
    ["compare", "attn0", "ffn0"],
    ["export"],
    ["prune", "tiny", "--layers", "ffn0", "--out", "pruned"],
    ["add", "model"],
    ["task", "hellaswag"],
    ["schema"],
    ["image", "build"],
    ["image", "verify"],
    ["image", "checksum"],
    ["results", "adopt"],
]


@pytest.fixture(autouse=True)
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("config.yaml").write_text(yaml.safe_dump(raw(), sort_keys=False))
    return tmp_path


def exit_code(*arguments: str) -> object:
    with pytest.raises(SystemExit) as caught:
        cli.main(arguments)
    return caught.value.code


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code("--version") == 0
    assert capsys.readouterr().out == f"cornerstone {cornerstone.__version__}\n"


@pytest.mark.parametrize("arguments", [[], *COMMANDS], ids=" ".join)
def test_help(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code(*arguments, "--help") == 0
    said = capsys.readouterr()
    assert said.out.startswith(f"Usage: {' '.join(['cornerstone', *arguments[: 2 if 'adopt' in arguments else 1]])} ")
    assert "\x1b" not in said.out  # plain, as there is no terminal
    assert said.err == ""


def test_help_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    exit_code("--help")
    said = capsys.readouterr().out
    for command, *_ in COMMANDS:
        assert f"\n  {command} " in said
    assert "..." not in said.partition("Commands:")[2]  # a first sentence that is cut off


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "Missing command."),
        (["results"], "Missing command."),
        (["image"], "Missing argument 'ACTION'."),
        (["nowhere"], "No such command 'nowhere'."),
        (["image", "burn"], "invalid choice: 'burn'"),
        (["results", "drop"], "No such command 'drop'."),
        (["where", "--colour"], "No such option: --colour"),
        (["where", "here"], "Got unexpected extra argument(s) (here)"),
        (["status", "--folder"], "No such option: --folder"),
        (["add"], "Missing argument 'MODEL'."),
        (["add", "model", "other"], "Got unexpected extra argument(s) (other)"),
        (["schema", "--config", "config.yaml"], "No such option: --config"),
        (["results", "adopt", "--force"], "No such option: --force"),
        (["results", "adopt", "--sample", "few"], "Invalid value for '--sample': Input should be a valid integer"),
        (["where", "--config"], "Option '--config' requires an argument."),
        (["prune", "tiny"], "Missing option '--out'."),
        (["plan", "--cores", "0"], "Invalid value for '--cores'"),
    ],
)
def test_unknown_words_exit_with_2_and_change_nothing(
    arguments: list[str], said: str, work: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert exit_code(*arguments) == 2
    captured = capsys.readouterr()
    assert said in captured.err
    assert captured.err.startswith(("Usage: cornerstone", "Error: Option"))
    assert captured.out == ""
    assert [path.name for path in work.iterdir()] == ["config.yaml"]


def test_an_error_of_ours_is_one_line_and_exit_1(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["where"]) == 1
    said = capsys.readouterr()
    assert said.out == ""
    (line,) = said.err.splitlines()
    assert line == "StoreError: results/tiny/cornerstones.csv is missing. Run `snakemake all` to make it."


@pytest.mark.parametrize("arguments", [command for command in COMMANDS if command != ["schema"]], ids=" ".join)
@pytest.mark.parametrize("as_json", [False, True])
def test_without_a_configuration_every_command_says_so(
    arguments: list[str], as_json: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("config.yaml").unlink()
    assert cli.main([*arguments, *["--json"] * as_json]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("ConfigError: config.yaml is missing. ")


def test_a_wrong_configuration_is_explained(capsys: pytest.CaptureFixture[str]) -> None:
    Path("config.yaml").write_text(yaml.safe_dump(raw({"seed": "x"})))
    assert cli.main(["where", "--folder"]) == 1
    assert capsys.readouterr().err.startswith("ConfigError: the configuration is wrong:\n  config.yaml:36: seed: ")


def test_an_error_that_is_not_ours_is_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(config: Config) -> Said:
        raise ZeroDivisionError

    monkeypatch.setattr(state, "state", broken)
    with pytest.raises(ZeroDivisionError):
        cli.main(["status"])


def test_where_names_results_and_the_main_finding(capsys: pytest.CaptureFixture[str]) -> None:
    table = Path("results/tiny/cornerstones.csv")
    table.parent.mkdir(parents=True)
    table.write_text("player,value,low,high,cornerstone\nattn1,0.067,0.04,0.09,False\n")
    assert cli.main(["where"]) == 0
    said = capsys.readouterr().out
    assert "results/summary.md" in said
    highest = "tiny: highest layer Shapley values, in points with 95% intervals: attn1 6.7 (4.0 to 9.0)"
    assert said.endswith(f"{highest}; none is confirmed as a cornerstone\n")
    table.write_text(table.read_text().replace("False", "True"))
    assert cli.main(["where"]) == 0
    assert capsys.readouterr().out.endswith("; confirmed as cornerstones: attn1\n")


def test_the_folder_of_results_alone_for_scripts(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["where", "--folder"]) == 0
    assert capsys.readouterr().out == "results\n"


def test_configuration_files_override_each_other(capsys: pytest.CaptureFixture[str]) -> None:
    Path("study.yaml").write_text("paths: {results: results-study}\n")
    assert cli.main(["where", "--folder", "--config", "config.yaml", "--config", "study.yaml"]) == 0
    assert cli.main(["where", "--folder", "--config", "config.yaml"]) == 0
    assert capsys.readouterr().out == "results-study\nresults\n"


@pytest.mark.parametrize(
    ("options", "out"),
    [([], "half of ['tiny']\n"), (["--json"], '{\n  "half": null,\n  "of": [\n    "tiny"\n  ]\n}\n')],
)
def test_a_command_prints_text_or_data(
    options: list[str], out: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(
        state, "state", lambda config: Said(f"half of {config.run}", {"half": float("nan"), "of": config.run}, 1)
    )
    assert cli.main(["status", *options]) == 1
    assert capsys.readouterr().out == out


def test_a_study_stands_on_top(capsys: pytest.CaptureFixture[str]) -> None:
    Path("studies").mkdir()
    Path("studies/more.yaml").write_text("paths: {results: results-more}\n")
    assert cli.main(["where", "--folder", "--study", "more"]) == 0
    assert cli.main(["where", "--folder", "--study", "studies/more.yaml"]) == 0
    assert capsys.readouterr().out == "results-more\nresults-more\n"
    assert cli.main(["where", "--study", "less"]) == 1
    assert "there is no study 'less': neither studies/less.yaml nor" in capsys.readouterr().err


def test_every_command_has_json() -> None:
    group = cast(Any, typer.main.get_command(cli.app))
    commands = [*group.commands.values(), *group.commands["results"].commands.values()]
    lacking = [
        c.name for c in commands if not hasattr(c, "commands") and "--json" not in str([p.opts for p in c.params])
    ]
    assert lacking == []


def test_the_page_of_commands_is_up_to_date() -> None:
    assert (ROOT / cli_page.NAME).read_text(encoding="utf-8") == cli_page.page(cli.app), "run: cornerstone schema"


def test_schema_writes_what_is_generated(work: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["schema"]) == 0
    made = {**reference.GENERATED, outputs_page.NAME: outputs_page.page, cli_page.NAME: lambda: cli_page.page(cli.app)}
    assert capsys.readouterr().out.splitlines() == [f"wrote {name}" for name in made]
    for name, make in made.items():
        assert (work / name).read_text(encoding="utf-8") == make()


def test_image_checksum(work: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Building and verifying call Apptainer: see tests/unit/cluster/test_image.py."""
    Path("containers").mkdir()
    Path("containers/evaluate.sif").write_text("image")
    assert cli.main(["image", "checksum"]) == 0
    assert capsys.readouterr().out.strip() == sha256(work / "containers" / "evaluate.sif")


@pytest.mark.parametrize("action", ["verify", "checksum"])
def test_an_image_that_is_not_there(action: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["image", action]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("ImageError: there is no image at containers/evaluate.sif")


def test_further_options_of_image_go_to_apptainer(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: list[tuple[Any, ...]] = []

    def build(path: Path, options: list[str]) -> str:
        asked.append((path, options))
        return "0f"

    monkeypatch.setattr(image, "build", build)
    assert cli.main(["image", "build", "--fakeroot", "--build-arg", "BASE=some@sha256:1"]) == 0
    assert asked == [(Path("containers/evaluate.sif"), ["--fakeroot", "--build-arg", "BASE=some@sha256:1"])]
    assert capsys.readouterr().out == "0f  containers/evaluate.sif\n"


@pytest.mark.parametrize("right", [True, False])
def test_image_verify_runs_its_own_test_last(
    right: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("containers").mkdir()
    Path("containers/evaluate.sif").write_text("image")
    asked: list[list[str]] = []
    monkeypatch.setattr(image, "mismatch", lambda config: None)
    monkeypatch.setattr(image, "stale", lambda config: None)

    def run_test(path: Path, options: list[str]) -> bool:
        asked.append(options)
        return right

    monkeypatch.setattr(image, "run_test", run_test)
    assert cli.main(["image", "verify", "--nv"]) == (0 if right else 1)
    assert asked == [["--nv"]]
    monkeypatch.setattr(image, "stale", lambda config: "built from other pins")
    assert cli.main(["image", "verify"]) == 1
    assert capsys.readouterr().err == "ImageError: built from other pins\n"
    assert len(asked) == 1


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], (8, 0, False)),
        (["--sample", "3", "--seed", "5"], (3, 5, False)),
        (["--dry-run"], (8, 0, True)),
    ],
)
@pytest.mark.parametrize("agreed", [True, False])
def test_results_adopt(
    arguments: list[str], expected: tuple[int, int, bool], agreed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[Any, ...]] = []

    def fake(config: Config, *rest: Any) -> bool:
        asked.append((config, *rest))
        return agreed

    monkeypatch.setattr(adopt, "adopt", fake)
    assert cli.main(["results", "adopt", *arguments]) == (0 if agreed else 1)
    assert asked == [(configured(), *expected)]


@pytest.mark.parametrize("sample", ["0", "-1"])
def test_a_sample_of_nothing_proves_nothing(sample: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code("results", "adopt", "--sample", sample) == 2
    assert "--sample" in capsys.readouterr().err


def test_adopting_without_documents_is_an_error_of_ours(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["results", "adopt"]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("AssetError: resources/documents/embedded/alpha.json is missing")


def test_it_is_a_program(work: Path) -> None:
    command = [sys.executable, "-m", "cornerstone.cli", "where", "--folder"]
    done = subprocess.run(command, cwd=work, env={}, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "results\n", "")


def test_a_study_of_a_run_is_named_as_that_of_other_commands(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []

    def run(config: Config, files: list[Path], cores: object, profile: object, options: object, *rest: Any) -> Said:
        asked.append((files[-1].stem, rest[0]))
        return Said("", {})

    monkeypatch.setattr(running, "run", run)
    monkeypatch.chdir(ROOT)
    for words in (["groups", "fetch"], ["--study", "groups", "fetch"], ["fetch", "--study", "groups"]):
        assert cli.main(["run", *words]) == 0
    assert asked == [("groups", ["fetch"])] * 3
