"""The base of every section of config.yaml."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field


class Section(BaseModel):
    """A section of the configuration: unknown keys are refused, values are not changed afterwards."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def _at_home(path: str) -> str:
    """The path with its `~`, as a shell would have replaced it."""
    try:
        return str(Path(path).expanduser()) if path.startswith("~") else path
    except RuntimeError as error:
        raise ValueError(f"{path}: {error}") from None


Place = Annotated[str, Field(min_length=1), AfterValidator(_at_home)]
"""The path of a file or folder; `~` is the home folder."""
