"""Every error that a user can cause, and what to do about it.

    CornerstoneError
    ├── ConfigError      config.yaml is wrong: unknown key, unknown model, impossible value
    ├── CoalitionError   a coalition's name does not parse, or names a player the model lacks
    ├── AssetError       a model or a document file is missing, damaged, or can't be downloaded
    ├── ModelError       the weights do not fit the config, or the architecture is unknown
    ├── TaskError        lm-eval does not know the task, or the task can't be scored here
    ├── ImageError       the image of the GPU rules is missing, is another one, or can't be built
    ├── PreflightError   something that cluster jobs need is missing
    └── StoreError       a result file is truncated, foreign, or missing

Each message says what is wrong, where, and what to do; `log.script` writes it
to the job's log, and the screen shows it without a traceback.
"""

from __future__ import annotations


class CornerstoneError(Exception):
    """Base of all errors whose remedy lies with the user."""


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


class StoreError(CornerstoneError):
    """A result file can't be read or does not belong here."""


def first_line(error: BaseException) -> str:
    """The first line of another library's error, or its type where it says nothing: for use in a message."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
