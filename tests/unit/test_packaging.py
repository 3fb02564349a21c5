"""What pyproject.toml and envs/ promise: dependencies, the command, pins with checksums for every Python."""

from __future__ import annotations

import ast
import importlib.metadata
import re
import sys
import tomllib

import pytest
from packaging.markers import Marker, default_environment
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

import cornerstone
from scripts import lock
from tests.helpers import ROOT

ENVS = ROOT / "envs"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
PYTHONS = ["3.11.7", "3.12.1", "3.13.0", "3.14.0"]
SYSTEMS = [("linux", "Linux", "x86_64"), ("darwin", "Darwin", "arm64")]
LOCKS = ["build.lock", "cuda.lock", "dev.lock", "llama.lock", "peers.lock", "run.lock", "tools.lock"]
LEFT = {"snakemake", "snakemake-interface-logger-plugins"}
"""What only the workflow has, by the extra of that name."""


def pins(name: str) -> list[Requirement]:
    return [Requirement(lock.requirement(entry)) for entry in lock.entries((ENVS / name).read_text())]


def asked(name: str) -> list[Requirement]:
    lines = (ENVS / name).read_text().splitlines()
    return [Requirement(line) for line in lines if line and not line.startswith("#")]


def where(python: str, system: tuple[str, str, str]) -> dict[str, str]:
    """What markers are compared with, on another Python and system."""
    short = ".".join(python.split(".")[:2])
    names = dict(zip(("sys_platform", "platform_system", "platform_machine"), system, strict=True))
    return {**default_environment(), "python_version": short, "python_full_version": python, **names}  # type: ignore[dict-item]


def holds(marker: Marker | None, environment: dict[str, str]) -> bool:
    return marker is None or marker.evaluate(environment)


def installed(name: str, environment: dict[str, str]) -> dict[str, Version]:
    """What a lock installs there: name -> version. Each has one version."""
    found = [(canonicalize_name(pin.name), pin) for pin in pins(name) if holds(pin.marker, environment)]
    assert len({key for key, _ in found}) == len(found)
    return {key: Version(next(iter(pin.specifier)).version) for key, pin in found}


def test_the_command_is_a_function() -> None:
    (point,) = importlib.metadata.entry_points(group="console_scripts", name="cornerstone")
    assert PROJECT["scripts"] == {"cornerstone": point.value}
    assert callable(point.load())


def test_the_version_is_said_once() -> None:
    assert "version" in PROJECT["dynamic"]
    assert importlib.metadata.version("cornerstone") == cornerstone.__version__


def test_what_the_package_imports_is_among_its_dependencies() -> None:
    imported: set[str] = set()
    for path in (ROOT / "cornerstone").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                imported |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and not node.level:
                imported.add(str(node.module).partition(".")[0])
    foreign = imported - set(sys.stdlib_module_names) - {"cornerstone"}
    assert {"torch", "yaml", "shapiq"} <= foreign  # it looks inside of functions, too
    named = {canonicalize_name(Requirement(line).name) for line in PROJECT["dependencies"]} | LEFT
    origin = importlib.metadata.packages_distributions()
    assert {module for module in foreign if not {canonicalize_name(name) for name in origin[module]} & named} == set()


@pytest.mark.parametrize("python", PYTHONS)
def test_the_pins_are_what_the_package_and_its_workflow_ask_for(python: str) -> None:
    environment = where(python, SYSTEMS[0])
    found = installed("run.lock", environment)
    wanted = [*PROJECT["dependencies"], *PROJECT["optional-dependencies"]["workflow"]]
    for requirement in [*map(Requirement, wanted), *asked("run.in"), *asked("build.in")]:
        if holds(requirement.marker, environment):
            assert found[canonicalize_name(requirement.name)] in requirement.specifier, requirement


@pytest.mark.parametrize("system", SYSTEMS, ids=lambda system: system[0])
@pytest.mark.parametrize("python", PYTHONS)
def test_every_system_has_one_version_of_each(python: str, system: tuple[str, str, str]) -> None:
    environment = where(python, system)
    every = {name: installed(name, environment) for name in LOCKS}
    for name, entry in [(name, entry) for found in every.values() for name, entry in found.items()]:
        assert all(found.get(name, entry) == entry for found in every.values()), name
    assert bool(every["cuda.lock"]) == (system[0] == "linux")
    for requirement in asked("dev.in"):
        assert every["dev.lock"][canonicalize_name(requirement.name)] in requirement.specifier


@pytest.mark.parametrize(("python", "oldest", "newest"), [("3.11.7", "1.4.1", "1.4.1"), ("3.12.1", "1.8", "1.99")])
def test_shapiq_by_python(python: str, oldest: str, newest: str) -> None:
    found = installed("run.lock", where(python, SYSTEMS[0]))
    assert Version(oldest) <= found["shapiq"] <= Version(newest)


@pytest.mark.parametrize("name", LOCKS)
def test_every_pin_has_checksums_and_no_address(name: str) -> None:
    text = (ENVS / name).read_text()
    entries = lock.entries(text)
    assert entries
    assert all(re.search(r"^    --hash=sha256:[0-9a-f]{64}( \\)?$", entry, re.MULTILINE) for entry in entries)
    assert all(re.match(r"[a-z0-9-]+==[\w.]+( ; .+)? \\\n", entry) for entry in entries)
    assert "://" not in text


def test_the_page_of_licences_is_that_of_the_locks() -> None:
    page = (ROOT / "docs/reference/licences.md").read_text()
    for name in ("build.lock", "run.lock", "cuda.lock"):
        for pin in pins(name):
            row = f"| {pin.name} | {next(iter(pin.specifier)).version} | "
            assert row in page, f"{row}is missing: make sbom"
    assert "| not stated |" not in page


def test_the_pins_name_those_of_cuda() -> None:
    """An image notes the checksum of run.lock alone."""
    first = (ENVS / "run.lock").read_text().splitlines()[0]
    assert lock.checksum_of((ENVS / "cuda.lock").read_text()) in first


def test_torch_without_cuda_is_the_same_release() -> None:
    builds = (ENVS / "torch-cpu.txt").read_text()
    (pin,) = [Requirement(lock.requirement(entry)) for entry in lock.entries(builds)]
    (torch,) = [entry for entry in lock.entries((ENVS / "run.lock").read_text()) if entry.startswith("torch==")]
    (release,) = (Version(next(iter(wanted.specifier)).version) for wanted in asked("run.in") if wanted.name == "torch")
    assert Version(next(iter(pin.specifier)).version).public == str(release)
    assert set(lock.CHECKSUM.findall(builds)) <= set(lock.CHECKSUM.findall(torch))


ENTRY = f"torch==2.0 \\\n    --hash=sha256:{'a' * 64} \\\n    --hash=sha256:{'b' * 64}\n    # via -r envs/run.in\n"


def test_further_builds_are_allowed_for_torch_once() -> None:
    builds = f'# a word\ntorch==2.0+cpu ; python_version == "3.11" \\\n    --hash=sha256:{"c" * 64}\n'
    made = lock.with_builds(ENTRY, builds)
    assert lock.CHECKSUM.findall(made) == [f"sha256:{letter * 64}" for letter in "cab"]
    assert lock.entries(made) == [made]
    assert lock.requirement(made) == "torch==2.0"
    assert lock.with_builds(made, builds) == made
    assert lock.with_builds(ENTRY, "# none\n") == ENTRY


def test_further_builds_of_another_release_are_refused() -> None:
    with pytest.raises(SystemExit, match=r"torch 1\.9, envs/run\.in 2\.0: write down"):
        lock.with_builds(ENTRY, f"torch==1.9+cpu \\\n    --hash=sha256:{'c' * 64}\n")
