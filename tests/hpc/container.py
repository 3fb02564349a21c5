"""A real Apptainer where the distribution has none, and images that need no registry.

Debian 12 has no `apptainer`, Debian unstable has one that wants a newer glibc. Both are unpacked into a folder of
their own and joined there; nothing of it is installed. The images are built from a Debian base that is made here, too.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

ROOT = Path(__file__).parents[2]
CACHE = ROOT / ".cache" / "hpc"
SYSTEM_LIBRARIES = "/usr/lib/x86_64-linux-gnu:/lib/x86_64-linux-gnu"
BASE_PACKAGES = "bash,ca-certificates,python3,python3-venv,python-is-python3"


class Failed(Exception):
    """A step of the set-up did not work; the message says which and why."""


def call(*command: str | Path, cwd: Path | None = None, env: dict[str, str] | None = None) -> str:
    """Run a command and return what it printed.

    Raises:
        Failed: when it does not exist or ends with an error.
    """
    words = [str(word) for word in command]
    try:
        done = subprocess.run(
            words, cwd=cwd, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
        )
    except OSError as error:
        raise Failed(f"{words[0]}: {error}") from None
    if done.returncode:
        raise Failed(f"`{' '.join(words)}` ended with {done.returncode}:\n{done.stdout[-3000:]}")
    return done.stdout


def mirrors() -> list[str]:
    """Where this machine's own apt gets Debian from."""
    found = []
    for path in [Path("/etc/apt/sources.list"), *sorted(Path("/etc/apt/sources.list.d").glob("*"))]:
        if path.suffix not in (".list", ".sources") or not path.is_file():
            continue
        for line in path.read_text().splitlines():
            match = re.match(r"\s*(?:URIs:|deb\s+(?:\[[^\]]*\]\s*)?)\s*(\S+/debian/?)(?:\s|$)", line)
            if match:
                found.append(match[1])
    return list(dict.fromkeys(found))


@contextlib.contextmanager
def built(target: Path) -> Iterator[Path]:
    """A temporary name beside `target` that becomes `target` when the block ends well."""
    temporary = target.with_name(f".{target.name}.{os.getpid()}")
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        yield temporary
        temporary.replace(target)
    finally:
        if temporary.is_dir():
            shutil.rmtree(temporary)
        temporary.unlink(missing_ok=True)


@dataclass(frozen=True)
class Apptainer:
    """An Apptainer that was unpacked into a folder."""

    prefix: Path

    @property
    def path(self) -> Path:
        """The folder to put on PATH: `apptainer`, and `singularity` for clients that know only the older name."""
        return self.prefix / "path"

    @property
    def environment(self) -> dict[str, str]:
        """The caller's environment with this Apptainer on PATH, and its caches inside of the prefix."""
        scratch = self.prefix / "scratch"
        scratch.mkdir(exist_ok=True)
        return {
            **os.environ,
            "PATH": f"{self.path}{os.pathsep}{os.environ['PATH']}",
            "APPTAINER_CACHEDIR": str(self.prefix / "cache"),
            "APPTAINER_TMPDIR": str(scratch),
        }

    def run(self, *arguments: str | Path, cwd: Path | None = None) -> str:
        """Run `apptainer`."""
        return call(self.path / "apptainer", *arguments, cwd=cwd, env=self.environment)


def install(prefix: Path) -> Apptainer:
    """Unpack Apptainer (unstable) and the C library that it wants (testing) under `prefix`, once."""
    apptainer = Apptainer(prefix)
    if not (apptainer.path / "apptainer").exists():
        with built(prefix) as folder:
            _unpack(_download(folder / "apt"), folder)
            _join(folder, prefix)
    apptainer.run("--version")
    _capabilities(apptainer)
    return apptainer


def _download(folder: Path) -> list[Path]:
    """Fetch the packages with an apt state of our own: the machine's is left alone."""
    found = mirrors()
    if not found:
        raise Failed("no Debian mirror in the machine's apt sources")
    for name in ("lists/partial", "cache/archives/partial"):
        (folder / name).mkdir(parents=True)
    (folder / "status").touch()
    suites = ("sid", "trixie")
    (folder / "sources.list").write_text("".join(f"deb {found[0]} {suite} main\n" for suite in suites))
    options = {
        "Dir::Etc::SourceList": folder / "sources.list",
        "Dir::Etc::SourceParts": "-",
        "Dir::Etc::Preferences": "-",
        "Dir::Etc::PreferencesParts": "-",
        "Dir::State::Lists": folder / "lists",
        "Dir::State::status": folder / "status",
        "Dir::Cache": folder / "cache",
        "APT::Sandbox::User": "root",
        "Acquire::Languages": "none",
    }
    flags = [word for key, value in options.items() for word in ("-o", f"{key}={value}")]
    call("apt-get", *flags, "update")
    call("apt-get", *flags, "download", "apptainer/sid", "libc6/trixie", cwd=folder)
    return sorted(folder.glob("*.deb"))


def _unpack(packages: list[Path], folder: Path) -> None:
    for package in packages:
        into = folder / "libc" if package.name.startswith("libc6") else folder
        call("dpkg-deb", "-x", package, into)
    shutil.rmtree(folder / "apt")


def _join(folder: Path, prefix: Path) -> None:
    """Make the binaries take the newer C library, and find their configuration under `prefix`."""
    loader = next((folder / "libc").rglob("ld-linux-x86-64.so.2")).resolve()
    loader.parent.rename(folder / "glibc")
    shutil.rmtree(folder / "libc")
    path = f"{prefix}/glibc:{SYSTEM_LIBRARIES}"
    libexec = folder / "usr/lib/x86_64-linux-gnu/apptainer"
    for binary in (folder / "usr/bin/apptainer", libexec / "bin/starter"):
        # forced: apptainer sets LD_LIBRARY_PATH itself, which would come first otherwise
        call("patchelf", "--set-interpreter", f"{prefix}/glibc/ld-linux-x86-64.so.2", binary)
        call("patchelf", "--force-rpath", "--set-rpath", path, binary)
    for library in libexec.rglob("offsetpreload.so"):
        call("patchelf", "--force-rpath", "--set-rpath", path, library)
    for place in ("usr", "usr/lib"):
        for name in ("etc", "var"):
            link = folder / place / name
            if not link.exists() and not link.is_symlink():
                link.symlink_to("../" * (place.count("/") + 1) + name)
    (folder / "var/lib/apptainer/mnt/session").mkdir(parents=True, exist_ok=True)
    (folder / "path").mkdir()
    for name in ("apptainer", "singularity"):
        (folder / "path" / name).symlink_to("../usr/bin/apptainer")


def _capabilities(apptainer: Apptainer) -> None:
    """Where root lacks a capability (in a container or a small virtual machine, say), don't ask for it."""
    mask = int(re.search(r"CapBnd:\s*(\w+)", Path("/proc/self/status").read_text())[1], 16)  # type: ignore[index]
    if mask >> 24 & 1:  # CAP_SYS_RESOURCE
        return
    path = apptainer.prefix / "etc/apptainer/apptainer.conf"
    text = path.read_text()
    changed = re.sub(r"^root default capabilities\s*=.*$", "root default capabilities = file", text, flags=re.MULTILINE)
    if changed != text:
        path.write_text(changed)
        apptainer.run("capability", "add", "--user", "root", "all")
        apptainer.run("capability", "drop", "--user", "root", "CAP_SYS_RESOURCE")


def sub_ids() -> None:
    """Let root build with `--fakeroot`."""
    for path in (Path("/etc/subuid"), Path("/etc/subgid")):
        text = path.read_text() if path.exists() else ""
        if not re.search(r"^root:", text, re.MULTILINE):
            path.write_text(text + "root:100000:65536\n")


def wheelhouse(folder: Path) -> Path:
    """The files that the locks name, from wherever this machine's pip gets packages; of the torch that runs here."""
    envs = ROOT / "envs"
    options = [f"--requirement={envs / name}" for name in ("build.lock", "run.lock")]
    if version("torch").endswith("+cpu"):
        options.append(f"--constraint={envs / 'torch-cpu.txt'}")
    else:
        options.append(f"--requirement={envs / 'cuda.lock'}")
    target = folder / f"wheels-{pins()}"
    if not target.is_dir():
        with built(target) as temporary:
            call(sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--require-hashes",
                 "--no-build-isolation", "--dest", temporary, *options)  # fmt: skip
    return target


def pins() -> str:
    """16 hexadecimal digits that change with the pins: run.lock names the checksum of cuda.lock."""
    content = [(ROOT / "envs" / name).read_bytes() for name in ("build.lock", "run.lock")]
    return hashlib.sha256(b"".join(content)).hexdigest()[:16]


def base(apptainer: Apptainer, folder: Path) -> Path:
    """An image of Debian with Python whose pip takes packages from /wheels: it stands in for the CUDA base."""
    target = folder / "base.sif"
    if not target.is_file():
        tree = folder / "base"
        shutil.rmtree(tree, ignore_errors=True)
        command: list[str | Path] = [
            "mmdebstrap",
            "--quiet",
            "--variant=minbase",
            f"--include={BASE_PACKAGES}",
            "bookworm",
            tree,
        ]
        try:
            call(*command, mirrors()[0])
            shutil.rmtree(tree / "dev")
            (tree / "dev").mkdir()
            (tree / "wheels").mkdir()
            (tree / "etc/pip.conf").write_text("[global]\nno-index = true\nfind-links = /wheels\n")
            with built(target) as temporary:
                apptainer.run("build", *COMPRESSION, temporary, tree)
        finally:
            shutil.rmtree(tree, ignore_errors=True)
    return target


COMPRESSION = ("--mksquashfs-args", "-comp zstd -Xcompression-level 3")
"""Quick rather than small: the images live for a test run."""


def evaluate(apptainer: Apptainer, folder: Path) -> Path:
    """containers/evaluate.def, built on the stand-in base. Built anew when the definition or the pins change."""
    definition = ROOT / "containers" / "evaluate.def"
    digest = hashlib.sha256(definition.read_bytes() + pins().encode()).hexdigest()[:16]
    target = folder / f"evaluate-{digest}.sif"
    if not target.is_file():
        sub_ids()
        arguments: list[str | Path] = [
            "--build-arg",
            "BOOTSTRAP=localimage",
            "--build-arg",
            f"BASE={base(apptainer, folder)}",
        ]
        arguments += ["--bind", f"{wheelhouse(folder)}:/wheels", "--fakeroot", *COMPRESSION]
        with built(target) as temporary:
            apptainer.run("build", *arguments, temporary, definition, cwd=ROOT)
    return target


LIGHT = """\
Bootstrap: localimage
From: {base}

%environment
    export PATH={environment}/bin:$PATH
    export LC_ALL=C.UTF-8
    export TOKENIZERS_PARALLELISM=false
    export PYTHONNOUSERSITE=1
    export PYTHONDONTWRITEBYTECODE=1
    export MPLCONFIGDIR=/tmp/matplotlib

%labels
    cornerstone.lock {lock}
"""


def light(apptainer: Apptainer, folder: Path) -> Path:
    """The base, with this environment's packages shown in it. Built anew when the pins or this text change."""
    lock = hashlib.sha256((ROOT / "envs" / "run.lock").read_bytes()).hexdigest()
    text = LIGHT.format(base=base(apptainer, folder), environment=sys.prefix, lock=lock)
    target = folder / f"light-{hashlib.sha256(text.encode()).hexdigest()[:16]}.sif"
    if not target.is_file():
        definition = folder / "light.def"
        definition.write_text(text)
        with built(target) as temporary:
            apptainer.run("build", *COMPRESSION, temporary, definition)
    _show(apptainer, [Path(sys.prefix), Path(sys.base_prefix)])
    return target


def _show(apptainer: Apptainer, folders: list[Path]) -> None:
    """Show folders in all containers, as the administrators of a cluster do with theirs."""
    path = apptainer.prefix / "etc/apptainer/apptainer.conf"
    lines = path.read_text().splitlines()
    missing = [line for folder in folders if (line := f"bind path = {folder}") not in lines]
    if missing:
        path.write_text("\n".join([*lines, *missing]) + "\n")
