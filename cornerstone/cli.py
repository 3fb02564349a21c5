"""The `cornerstone` command: what is not a rule of the workflow. Thin: each subcommand calls one function.

cornerstone where            where the results are, and the main finding
cornerstone status           how far a run is
cornerstone add MODEL        write the entry of a model of the hub, of a folder, of a .gguf file into config.yaml
cornerstone task NAME        show the entry of a task or group of lm-eval for config.yaml
cornerstone schema           write the JSON schema and docs/configuration.md anew
cornerstone image build      build the image of the GPU rules (`make image`); verify, checksum
cornerstone results adopt    let results of an older version stay, where today's code gives the same numbers
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from cornerstone import __version__
from cornerstone.config.config import Config, load_files
from cornerstone.errors import CornerstoneError, ImageError


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit code: 0, or 1 where something is wrong that the message names."""
    known, options = _parser().parse_known_args(arguments)
    if options and known.run is not _image:
        _parser().error(f"unknown: {' '.join(options)}")
    try:
        code: int = known.run(known, options)
    except CornerstoneError as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return 1
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="cornerstone",
        description="Which layers of a language model matter, and how sure are we? The workflow itself is run with "
        "`make run` or `snakemake`.",
    )
    parser.add_argument("--version", action="version", version=f"cornerstone {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    configured = argparse.ArgumentParser(add_help=False)
    configured.add_argument(
        "--config",
        type=Path,
        action="append",
        metavar="FILE",
        help="configuration file; again for more, each overriding the one before (default: config.yaml)",
    )

    where = commands.add_parser("where", parents=[configured], help="where the results are, and the main finding")
    where.add_argument("--folder", action="store_true", help="print the folder of the results only")
    where.set_defaults(run=_where)

    status = commands.add_parser("status", parents=[configured], help="how far a run is")
    status.set_defaults(run=_status)

    add = commands.add_parser(
        "add",
        parents=[configured],
        help="write a model's entry into config.yaml",
        description="Looks at config.json and the tokenizer of a model (no weights), recognises its layout, proves it "
        "on a tiny random copy, and writes the model's entry into config.yaml, or the last --config FILE. All else in "
        "the file stays as it is.",
    )
    add.add_argument("model", metavar="MODEL", help="hub repository (organisation/name), folder, or .gguf file")
    add.add_argument("--name", metavar="NAME", help="name of the entry (default: made from the model's own)")
    add.add_argument(
        "--revision", metavar="REV", help="commit, branch or tag of the hub repository (default: the newest)"
    )
    add.add_argument("--print", action="store_true", dest="show", help="print the entry only, change nothing")
    add.set_defaults(run=_add)

    task = commands.add_parser(
        "task",
        parents=[configured],
        help="show the entry of a task or group of lm-eval for config.yaml",
        description="Looks a task, group or tag up among those of lm-eval and of `include_path`, and prints its entry "
        "for `tasks` in config.yaml: its metric, and of a group all its tasks. It changes nothing.",
    )
    task.add_argument("task", metavar="NAME", help="such as hellaswag, mmlu, mmlu_stem")
    task.set_defaults(run=_task)

    schema = commands.add_parser("schema", help="write schemas/config.schema.json and docs/configuration.md anew")
    schema.set_defaults(run=_schema)

    image = commands.add_parser("image", parents=[configured], help="the Apptainer image of the GPU rules")
    image.add_argument(
        "action",
        choices=["build", "verify", "checksum"],
        help="build it and note its checksum; verify checksum, pins and its own test; print its checksum. Further "
        "options go to Apptainer (build: --fakeroot, --build-arg ...; verify: --nv)",
    )
    image.set_defaults(run=_image)

    results = commands.add_parser("results", help="stored results").add_subparsers(metavar="ACTION", required=True)
    adopt = results.add_parser(
        "adopt",
        parents=[configured],
        help="let stale results stay, where today's code gives the same numbers",
        description="Computes a random sample of stored coalitions of each model and task with today's code. Where all "
        "log-likelihoods agree, the stored results get today's fingerprint; where not, it says which differ and by how "
        "much, and changes nothing.",
    )
    adopt.add_argument("--sample", type=_positive, default=8, metavar="N", help="coalitions of each model and task (8)")
    adopt.add_argument("--seed", type=int, default=0, help="of the sample (0)")
    adopt.add_argument("--dry-run", action="store_true", help="compare only, change nothing")
    adopt.set_defaults(run=_adopt)
    return parser


def _positive(text: str) -> int:
    """At least 1, for argparse."""
    if not text.lstrip("+-").isdigit():
        raise argparse.ArgumentTypeError(f"invalid int value: {text!r}")
    if int(text) < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return int(text)


def _config(known: argparse.Namespace) -> Config:
    return load_files(known.config or [Path("config.yaml")])


def _where(known: argparse.Namespace, options: list[str]) -> int:
    from cornerstone.present.terminal import where

    config = _config(known)
    print(config.paths.results if known.folder else where(config))
    return 0


def _status(known: argparse.Namespace, options: list[str]) -> int:
    from cornerstone.present.progress import status

    print(status(_config(known)))
    return 0


def _add(known: argparse.Namespace, options: list[str]) -> int:
    from cornerstone.adding.add import add

    configs = known.config or [Path("config.yaml")]
    print(add(known.model, configs, known.name, known.revision, known.show))
    return 0


def _task(known: argparse.Namespace, options: list[str]) -> int:
    from cornerstone.assets.groups import entry

    print(entry(known.task, tuple(_config(known).include_path)), end="")
    return 0


def _schema(known: argparse.Namespace, options: list[str]) -> int:
    from cornerstone.config import reference
    from cornerstone.outputs import page

    for path in [*reference.write(Path()), page.write(Path())]:
        print(f"wrote {path}")
    return 0


def _image(known: argparse.Namespace, options: list[str]) -> int:
    from cornerstone.cluster import image

    config = _config(known)
    path = Path(config.container)
    if known.action == "build":
        print(f"{image.build(path, options)}  {path}")
        return 0
    if not path.is_file():
        raise ImageError(str(image.mismatch(config)))
    if known.action == "checksum":
        print(image.sha256(path))
        return 0
    wrong = image.mismatch(config) or image.stale(config)
    if wrong:
        raise ImageError(wrong)
    print(f"{path}: checksum and pins are right", flush=True)
    return 0 if image.run_test(path, options) else 1


def _adopt(known: argparse.Namespace, options: list[str]) -> int:
    from cornerstone.evaluate.adopt import adopt

    return 0 if adopt(_config(known), known.sample, known.seed, known.dry_run) else 1


if __name__ == "__main__":
    raise SystemExit(main())
