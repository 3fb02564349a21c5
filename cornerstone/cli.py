"""The `cornerstone` command. Thin: each subcommand calls one function, and prints what it says.

Exit codes: 0; 1 where something is wrong that the message names; 2 for words that the command does not know; `run`:
Snakemake's own. `--json` prints data in the place of text. The text is plain, whether there is a terminal or not.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from cornerstone import __version__
from cornerstone.command import results_commands
from cornerstone.command.options import (
    PASSED_ON,
    PLAIN,
    Configs,
    Cores,
    Done,
    Json,
    Study,
    config_of,
    files_of,
    say,
    tell,
)
from cornerstone.config.config import load_files
from cornerstone.errors import CornerstoneError
from cornerstone.log import no_questions

app = typer.Typer(
    help="Which layers of a language model matter, and how sure are we?",
    epilog="docs/cli.md lists all commands with all options.",
    **PLAIN,
)
results = typer.Typer(help="Stored results.", **PLAIN)
app.add_typer(results, name="results")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit code.

    Raises:
        SystemExit: with code 2 for words that it does not know, with 0 for --help and --version.
    """
    try:
        with no_questions():
            app(args=None if arguments is None else list(arguments), prog_name="cornerstone", standalone_mode=True)
    except CornerstoneError as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return 1
    except Done as done:
        return done.code
    return 0


def _version(asked: bool) -> None:
    if asked:
        print(f"cornerstone {__version__}")
        raise typer.Exit


@app.callback()
def _main(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


@app.command(context_settings=PASSED_ON)
def run(
    context: typer.Context,
    study: Annotated[
        str | None, typer.Argument(metavar="[STUDY]", help="A study of studies/, or a configuration file.")
    ] = None,
    configs: Configs = None,
    named: Study = None,
    cores: Cores = None,
    profile: Annotated[str | None, typer.Option(metavar="NAME", help="Profile of Snakemake, such as slurm.")] = None,
    as_json: Json = False,
) -> None:
    """Run the workflow.

    Further words go to Snakemake: options such as --dry-run, then rules or files to make.
    """
    from cornerstone.command import running

    if study is not None and study.startswith("-"):  # an option of Snakemake came first
        context.args.insert(0, study)
        study = None
    if study is not None and named is not None:  # with --study, every free word is Snakemake's
        context.args.insert(0, study)
    files = files_of(configs, named or study)
    place = next((i for i, word in enumerate(context.args) if not word.startswith("-")), len(context.args))
    options, targets = context.args[:place], context.args[place:]
    say(running.run(load_files(files), files, cores, profile, options, targets, as_json), as_json)


@app.command()
def plan(configs: Configs = None, study: Study = None, cores: Cores = None, as_json: Json = False) -> None:
    """What a run would cost.

    One line, then coalitions, tokens, FLOP and hours of every model, task and estimator. It evaluates nothing.
    """
    from cornerstone.command import running

    files = files_of(configs, study)
    say(running.plan(load_files(files), files, cores), as_json)


@app.command()
def status(configs: Configs = None, study: Study = None, as_json: Json = False) -> None:
    """How far a run is, and what is wrong with it.

    What is done, stale or beyond the plan, which jobs failed and where their logs are, how long the rest takes.
    """
    from cornerstone.command import state

    say(state.state(config_of(configs, study)), as_json)


@app.command()
def doctor(
    configs: Configs = None,
    study: Study = None,
    cluster: Annotated[bool, typer.Option("--cluster", help="Ask SLURM, too, whether it would take the jobs.")] = False,
    container: Annotated[bool, typer.Option("--container", help="Look at the image of the GPU rules, too.")] = False,
    as_json: Json = False,
) -> None:
    """Look now for what would fail later.

    Versions, weights, documents, memory and room; blocks and players that are not those of the weights; metrics that a
    task does not have.
    """
    from cornerstone.command import doctor as command

    say(command.doctor(config_of(configs, study), cluster, container), as_json)


@app.command()
def where(
    configs: Configs = None,
    study: Study = None,
    folder: Annotated[bool, typer.Option("--folder", help="Print the folder of the results only.")] = False,
    as_json: Json = False,
) -> None:
    """Where the results are, and the main finding."""
    from cornerstone.present import terminal

    config = config_of(configs, study)
    text = config.paths.results if folder else terminal.where(config)
    tell(text, {"results": config.paths.results, "text": text.strip()}, as_json)


for _name, _command in results_commands.COMMANDS.items():
    app.command(_name)(_command)


@app.command()
def add(
    model: Annotated[
        str, typer.Argument(metavar="MODEL", help="Hub repository (organisation/name), folder, or .gguf file.")
    ],
    configs: Configs = None,
    name: Annotated[
        str | None, typer.Option(metavar="NAME", help="Name of the entry (default: made from the model's own).")
    ] = None,
    revision: Annotated[
        str | None,
        typer.Option(metavar="REV", help="Commit, branch or tag of the hub repository (default: the newest)."),
    ] = None,
    show: Annotated[bool, typer.Option("--print", help="Print the entry only, change nothing.")] = False,
    as_json: Json = False,
) -> None:
    """Write a model's entry into config.yaml.

    Looks at config.json and the tokenizer of a model (no weights), recognises its layout, proves it on a tiny random
    copy, and writes the model's entry into config.yaml, or the last --config FILE. All else in the file stays as it is.
    """
    from cornerstone.adding import add as command

    said = command.add(model, files_of(configs), name, revision, show)
    tell(said, {"text": said}, as_json)


@app.command()
def task(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Such as hellaswag, mmlu, mmlu_stem.")],
    configs: Configs = None,
    as_json: Json = False,
) -> None:
    """Show the entry of a task for config.yaml.

    Looks a task, group or tag up among those of lm-eval and of `include_path`, and prints its entry for `tasks` in
    config.yaml: its metric, and of a group all its tasks. It changes nothing.
    """
    from cornerstone.assets.groups import entry

    said = entry(name, tuple(config_of(configs).include_path))
    tell(said.removesuffix("\n"), {"entry": said}, as_json)


@app.command()
def schema(as_json: Json = False) -> None:
    """Write the files that are generated anew.

    The schema of config.yaml, docs/configuration.md, docs/outputs.md and docs/cli.md.
    """
    from cornerstone.command import reference as own
    from cornerstone.config import reference
    from cornerstone.outputs import page

    paths = [str(path) for path in (*reference.write(Path()), page.write(Path()), own.write(Path(), app))]
    tell("\n".join(f"wrote {path}" for path in paths), {"wrote": paths}, as_json)


@app.command(context_settings=PASSED_ON)
def image(
    context: typer.Context,
    action: Annotated[str, typer.Argument(metavar="ACTION", help="build, verify or checksum.")],
    configs: Configs = None,
    as_json: Json = False,
) -> None:
    """The Apptainer image of the GPU rules.

    Build it and note its checksum; verify checksum, pins and its own test; print its checksum. Further options go to
    Apptainer (build: --fakeroot, --build-arg ...; verify: --nv).
    """
    from cornerstone.command import images

    if action not in images.ACTIONS:
        choices = ", ".join(images.ACTIONS)
        raise typer.BadParameter(f"invalid choice: '{action}' (choose from {choices})", ctx=context)
    say(images.image(config_of(configs), action, context.args, as_json), as_json)


@results.command()
def verify(configs: Configs = None, as_json: Json = False) -> None:
    """Look at all that is stored: is it what was written?

    Looks at every result and table in the folder of results, and at the documents and weights of the active models, by
    their checksums and by what must follow from what. It names each file that was damaged, changed or swapped, and
    changes nothing. Exit code 1 where there is one.
    """
    from cornerstone.evaluate.verify import verify as command

    found = command(config_of(configs))
    tell(str(found), {"wrong": list(found.wrong), "text": str(found)}, as_json, 1 if found.wrong else 0)


@results.command()
def adopt(
    configs: Configs = None,
    sample: Annotated[int, typer.Option(min=1, metavar="N", help="Coalitions of each model and task.")] = 8,
    seed: Annotated[int, typer.Option(help="Of the sample.")] = 0,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Compare only, change nothing.")] = False,
    as_json: Json = False,
) -> None:
    """Let stale results stay that are still right.

    Computes a random sample of stored coalitions of each model and task with today's code. Where all log-likelihoods
    agree, the stored results get today's fingerprint; where not, it says which differ and by how much, and changes
    nothing.
    """
    from cornerstone.evaluate import adopt as command

    agreed = command.adopt(config_of(configs), sample, seed, dry_run)
    tell("", {"agreed": agreed}, as_json, 0 if agreed else 1)


if __name__ == "__main__":
    raise SystemExit(main())
