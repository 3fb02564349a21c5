"""Every error that a user can cause, and what to do about it.

    CornerstoneError
    ├── ConfigError      config.yaml is wrong: unknown key, unknown model, impossible value
    ├── CoalitionError   a coalition's name does not parse, or names a player the model lacks
    ├── AssetError       a model or a document file is missing, damaged, or can't be downloaded
    ├── ModelError       the weights do not fit the config, or the architecture is unknown
    ├── TaskError        lm-eval does not know the task, or the task can't be scored here
    ├── ImageError       the image of the GPU rules is missing, is another one, or can't be built
    ├── PreflightError   something that cluster jobs need is missing
    ├── UnreadableError  a file is missing, is a folder, pipe or device, or is not what it should be
    └── StoreError       a result file is truncated, foreign, or missing

Each message says what is wrong, where, and what to do; `log.script` writes it
to the job's log, and the screen shows it without a traceback.
"""

from __future__ import annotations

from cornerstone.masking import masked


class CornerstoneError(Exception):
    """Base of all errors whose remedy lies with the user. What it says holds no secrets (`cornerstone.masking`)."""

    def __str__(self) -> str:
        return masked(super().__str__())


class ConfigError(CornerstoneError):
    """The configuration is wrong."""


class CoalitionError(CornerstoneError):
    """A coalition's name is wrong."""


class AssetError(CornerstoneError):
    """Something that `snakemake fetch` provides is missing or damaged."""


class ModelError(CornerstoneError):
    """A model does not fit its config entry, or its architecture is unknown."""


class TaskError(CornerstoneError):
    """A task is unknown to lm-eval or is not multiple choice."""


class ImageError(CornerstoneError):
    """The image is missing, is not the one expected, or can't be built."""


class PreflightError(CornerstoneError):
    """Something that jobs need is missing."""


class UnreadableError(CornerstoneError):
    """A file can't be read as what it should be: see `cornerstone.reading`.

    Attributes:
        path: the file.
        problem: what is wrong with it.
        missing: whether there is none.
        unknown: whether nothing is known of its content: the disk or the system did not let it be read now.
    """

    def __init__(
        self, path: object, problem: str, remedy: str = "", missing: bool = False, unknown: bool = False
    ) -> None:
        self.path, self.problem, self.missing, self.unknown = path, problem, missing, unknown
        self._remedy = remedy
        super().__init__(self.then("").rstrip())

    def then(self, remedy: str) -> str:
        """The message, with what to do: what this problem asks for, else what the reader of the file knows."""
        what = f"{self.path} {self.problem}" if self.missing else f"{self.path} can't be read: it {self.problem}"
        remedy = self._remedy or remedy
        return f"{what}. {remedy.replace('Delete it and run', 'Run') if self.missing else remedy}"


class StoreError(CornerstoneError):
    """A result file can't be read or does not belong here."""


class UnreadNowError(StoreError):
    """A result file could not be read now, which says nothing of what it holds: it must not be made again for that."""


def first_line(error: BaseException) -> str:
    """The first line of another library's error, or its type where it says nothing: for use in a message."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
