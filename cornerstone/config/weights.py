"""What config.yaml says of weights: where they come from, and by what they are pinned."""

from __future__ import annotations

import re
from typing import Literal

from pydantic import Field, model_validator

from cornerstone.config import names
from cornerstone.settings import Section

SHA256 = r"^[0-9a-f]{64}$"


class Part(Section):
    """A wheel that holds one part of a file. The parts, one after another, are the file."""

    id: str = Field(description="Name of the wheel.")
    revision: names.Revision = Field(description="Its exact version.")
    sha256: str = Field(pattern=SHA256, description="Its checksum.")
    file: str = Field(description="The part inside the wheel.")

    @model_validator(mode="after")
    def _named(self) -> Part:
        names.wheel_id(self.id)
        names.inside(self.file)
        return self


class Weights(Section):
    """Weights and a tokenizer, and where they come from."""

    source: Literal["hub", "folder", "gguf", "wheel"] = Field(
        description="`hub`: a repository of the Hugging Face hub. `folder`: a folder on disk with safetensors weights "
        "and a tokenizer. `gguf`: a GGUF file on disk. `wheel`: a GGUF file inside one PyPI wheel, or several."
    )
    id: names.Home = Field(
        description="Hub repository, path of the folder, path of the GGUF file (of a split one, the first: "
        "`...-00001-of-00003.gguf`), or name of the wheel (of several, a name for what they hold)."
    )
    revision: names.Revision | None = Field(
        None,
        description="Full commit hash (hub) or exact version (wheel). Required for both: results are only "
        "comparable when the weights are pinned.",
    )
    file: str | None = Field(
        None,
        description="The GGUF file inside the wheel; in a hub repository, where a GGUF file of it is meant and not its "
        "safetensors weights.",
    )
    sha256: str | None = Field(
        None, pattern=SHA256, description="Checksum of the wheel; of the GGUF file where `source` is `gguf` (optional)."
    )
    parts: list[Part] | None = Field(
        None, min_length=1, description="The wheels, in order, when the parts of one GGUF file are in several."
    )

    @model_validator(mode="after")
    def _pinned(self) -> Weights:
        if self.source == "hub" and not re.fullmatch(r"[0-9a-f]{40}", self.revision or ""):
            raise ValueError("a hub model needs `revision`, the 40-digit commit hash shown on its hub page")
        if self.source == "wheel" and self.parts is None and not (self.revision and self.file and self.sha256):
            raise ValueError("a wheel model needs `revision` (version), `file` and `sha256`, or `parts`")
        if self.parts is not None and (self.source != "wheel" or self.revision or self.file or self.sha256):
            raise ValueError("`parts` are for `source: wheel`, and take the place of `revision`, `file` and `sha256`")
        if self.source == "folder" and (self.file or self.sha256):
            raise ValueError("`file` and `sha256` mean nothing where `source` is `folder`: remove them")
        if self.source == "hub" and self.sha256:
            raise ValueError(
                "`sha256` means nothing where `source` is `hub`, where the commit pins each file: remove it"
            )
        if self.source == "gguf" and (self.file or not self.id.endswith(".gguf")):
            raise ValueError("where `source` is `gguf`, `id` is the path of the .gguf file, and there is no `file`")
        if self.source in ("folder", "gguf") and self.revision:
            raise ValueError("`revision` means nothing for files on disk, which are told apart by content: remove it")
        check = {"hub": names.hub_id, "wheel": names.wheel_id}.get(self.source, names.folder)
        check(self.id)
        if self.file is not None:
            names.inside(self.file)
        return self
