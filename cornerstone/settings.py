"""The base of every section of config.yaml."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Section(BaseModel):
    """A section of the configuration: unknown keys are refused, values are not changed afterwards.

    No number is infinite. What files say is taken as it stands (`config.load`): true is no number, and "3" is none.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)
