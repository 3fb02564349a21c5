"""Repositories of the Hugging Face hub: only the files that are loaded, at one commit, each compared with its checksum.

The hub's own client downloads. It resumes a file whose connection broke, waits where the hub asks it to, and keeps
whole files. What is added here: which files are wanted, that a hub which does not answer is said to be so within a
minute, that each file is what the commit says, and what to do about the hub's answers.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from cornerstone import reading
from cornerstone.assets import client, contents
from cornerstone.errors import AssetError, CornerstoneError, first_line
from cornerstone.files import need_space, sha256, size
from cornerstone.log import log

OUTLINE = (contents.CONFIG, contents.ADAPTER_CONFIG, "generation_config.json", *contents.TOKENIZER)
"""Files of a repository that an outline needs: config and tokenizer, a few megabytes at most."""
WAITS = (1, 4)
"""Seconds before a question to the hub is asked again."""
LONGEST_WAIT = 30
"""Seconds that the hub may ask one to wait."""
T = TypeVar("T")


@dataclass(frozen=True)
class Repository:
    """A repository at a commit.

    Attributes:
        id: organisation/name.
        revision: the commit, 40 hexadecimal digits.
        kind: `model` or `dataset`.
        command: what the user runs, for messages.
        id_in, revision_in: where the user says what, for messages.
    """

    id: str
    revision: str
    kind: str = "model"
    command: str = "snakemake fetch"
    id_in: str = "`id` in config.yaml"
    revision_in: str = "`revision` in config.yaml"


@dataclass(frozen=True)
class File:
    """A file as the commit describes it: its size in bytes; SHA-256 of a large file, git's SHA-1 of a small one."""

    name: str
    size: int
    sha256: str | None
    sha1: str | None


def endpoint() -> str:
    """The hub's address: HF_ENDPOINT (a mirror) or the hub itself."""
    from huggingface_hub import constants

    return (os.environ.get("HF_ENDPOINT") or constants.ENDPOINT).rstrip("/")


def listing(repository: Repository) -> dict[str, File]:
    """All files of a repository by name.

    Raises:
        AssetError: no answer, no such repository or commit, or no access.
    """
    from huggingface_hub import HfApi

    api = HfApi(endpoint=endpoint())
    options: dict[str, Any] = {"revision": repository.revision, "files_metadata": True, "timeout": client.TIMEOUT}
    info: Any = asked(repository, lambda: api.repo_info(repository.id, repo_type=repository.kind, **options))
    found = {}
    for entry in info.siblings or []:
        large = entry.lfs.sha256 if entry.lfs else None
        if entry.rfilename.startswith("/") or ".." in entry.rfilename.split("/") or "\\" in entry.rfilename:
            raise AssetError(f"{repository.id} has a file {entry.rfilename!r}, outside of itself. Take another one.")
        found[entry.rfilename] = File(entry.rfilename, entry.size or 0, large, None if large else entry.blob_id)
    return found


def newest(name: str, kind: str) -> str:
    """The commit that a repository's main branch points to.

    Raises:
        AssetError: see `listing`.
    """
    return commit_of(Repository(name, "main", kind))


def commit_of(repository: Repository) -> str:
    """The commit that a repository's `revision` names: a branch, a tag, or a commit itself.

    Raises:
        AssetError: see `listing`.
    """
    from huggingface_hub import HfApi

    api = HfApi(endpoint=endpoint())
    options: dict[str, Any] = {"revision": repository.revision, "timeout": client.TIMEOUT}
    info: Any = asked(repository, lambda: api.repo_info(repository.id, repo_type=repository.kind, **options))
    return str(info.sha)


def download(repository: Repository, names: Sequence[str], folder: Path, files: dict[str, File]) -> None:
    """Bring some files of a repository to a folder, and compare each with its checksum.

    Files that are there and whole are kept.

    Raises:
        AssetError: see `listing`; a file that is not what the commit says, which is deleted; too little space.
    """
    from huggingface_hub import snapshot_download

    wanted = [files[name] for name in names]
    missing = [file for file in wanted if _size_of(folder / file.name) != file.size]
    need_space(folder, sum(file.size for file in missing))
    if missing:
        log(
            f"downloading {len(missing)} files ({size(sum(file.size for file in missing))}) of {repository.id} at "
            f"{repository.revision} from {endpoint()}"
        )
    options: dict[str, Any] = {"revision": repository.revision, "endpoint": endpoint(), "etag_timeout": client.TIMEOUT}
    asked(
        repository,
        lambda: snapshot_download(
            repository.id, repo_type=repository.kind, local_dir=folder, allow_patterns=list(names), **options
        ),
    )
    for file in wanted:
        _compare(folder / file.name, file, repository)


def _size_of(path: Path) -> int:
    return path.stat().st_size if path.is_file() else -1


def _compare(path: Path, file: File, repository: Repository) -> None:
    """Check that a file is what the commit says."""
    if not path.is_file():
        raise AssetError(
            f"{file.name} of {repository.id} did not arrive. Run `{repository.command}` again: it goes on with what is "
            "missing."
        )
    if file.sha256:
        found, expected, kind = sha256(path), file.sha256, "sha256"
    elif file.sha1:
        found, expected, kind = _git_sha1(path), file.sha1, "git's sha1"
    else:
        found, expected, kind = str(_size_of(path)), str(file.size), "bytes"
    if found != expected:
        path.unlink()
        raise AssetError(
            f"{file.name} of {repository.id} is not what commit {repository.revision} says: {kind} {found}, not "
            f"{expected}. It is deleted. Run `{repository.command}` again; if it stays so, {endpoint()} is not to be "
            "trusted."
        )


def _git_sha1(path: Path) -> str:
    """The name that git gives to a file's content."""
    content = reading.content(path)
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()


def asked(repository: Repository, question: Callable[[], T]) -> T:
    """What a question to the hub answers. It is asked again where the hub is busy or the connection breaks.

    Raises:
        AssetError: no answer, or an answer that says no.
    """
    client.impatient()
    for wait in (*WAITS, None):
        try:
            return question()
        except Exception as error:  # the client's own kinds, those of its HTTP library, and the system's
            if isinstance(error, CornerstoneError) and not isinstance(error, client.SilentError):
                raise
            pause = _retry_after(error)
            if wait is None or pause is None or pause > LONGEST_WAIT:
                raise AssetError(_reason(repository, error)) from error
            time.sleep(max(pause, wait))
    raise AssertionError("unreachable")


def trouble(repository: Repository, error: BaseException) -> str | None:
    """One message where an error of another library comes from the hub or the way to it; None where it does not."""
    from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled

    kinds = (client.SilentError, HfHubHTTPError, OfflineModeIsEnabled)
    if any(isinstance(each, kinds) or _named(each, "TransportError") for each in _causes(error)):
        return _reason(repository, error)
    return None


def _response(error: BaseException) -> Any:
    return getattr(error, "response", None)


def _status(error: BaseException) -> int | None:
    return getattr(_response(error), "status_code", None)


def _causes(error: BaseException) -> list[BaseException]:
    """An error and those that it was raised for."""
    found: list[BaseException] = []
    while error is not None and error not in found:
        found.append(error)
        error = error.__cause__ or error.__context__  # type: ignore[assignment]
    return found


def _named(error: BaseException, *names: str) -> bool:
    """Whether an error is of a class of one of these names: those of the HTTP library below the hub's client."""
    return any(each.__name__ in names for each in type(error).__mro__)


def _retry_after(error: BaseException) -> float | None:
    """Seconds after which to try again; None where that is of no use."""
    for each in _causes(error):
        if isinstance(each, client.SilentError):
            return None
        if isinstance(each, OSError) and each.errno is not None and not isinstance(each, ConnectionError):
            return None  # a full disk, say
        if (status := _status(each)) is not None:
            if status not in (408, 429, 500, 502, 503, 504):
                return None
            said = str(_response(each).headers.get("Retry-After", "0"))
            return float(said) if said.isdigit() else 0.0
        if _named(each, "TransportError", "ConnectionError"):
            return 0.0
    return None


def _reason(repository: Repository, error: BaseException) -> str:
    """One message for what the hub, or the way to it, has answered."""
    from huggingface_hub.errors import (
        GatedRepoError,
        OfflineModeIsEnabled,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    causes = _causes(error)
    what = f"{repository.id} at {repository.revision}"
    again = f"Run `{repository.command}` again: files that are whole are kept."
    status = next((found for each in causes if (found := _status(each)) is not None), None)
    if any(isinstance(each, GatedRepoError) for each in causes):
        page = f"{endpoint()}/{'datasets/' * (repository.kind == 'dataset')}{repository.id}"
        return (
            f"{repository.id} is gated: it is only for those who accepted its licence. Accept it at {page}, log in "
            f"(`hf auth login`), and run `{repository.command}` again."
        )
    if any(isinstance(each, RevisionNotFoundError) for each in causes):
        return (
            f"{repository.id} has no commit {repository.revision}. Correct {repository.revision_in}: the 40 digits "
            "of a commit in the history of the repository's files."
        )
    if any(isinstance(each, RepositoryNotFoundError) for each in causes) or status in (401, 403):
        return (
            f"{endpoint()} has no {repository.kind} {repository.id}, or you have no access to it (it answers {status}"
            f"). Correct {repository.id_in}, or log in (`hf auth login`) if it is private."
        )
    if any(isinstance(each, OfflineModeIsEnabled) for each in causes):
        return f"could not download {what}: HF_HUB_OFFLINE is set. Unset it, and run `{repository.command}`."
    if status == 429:
        return f"could not download {what}: {endpoint()} has had too many requests from here. Wait, log in. {again}"
    if status is not None:
        return f"could not download {what}: {endpoint()} answers {status}. {again}"
    if any(isinstance(each, client.SilentError) or _named(each, "TimeoutException") for each in causes):
        return (
            f"could not download {what}: {endpoint()} does not answer within {client.TIMEOUT} seconds. Is there a "
            f"firewall, or a proxy to be set (HTTPS_PROXY)? {again}"
        )
    if any(_named(each, "TransportError", "ConnectionError") for each in causes):
        return (
            f"could not download {what}: the connection to {endpoint()} fails ({first_line(causes[-1])}). Run "
            f"`{repository.command}` where there is network access; files that are whole are kept."
        )
    return f"could not download {what} from {endpoint()}: {first_line(error)}. {again}"
