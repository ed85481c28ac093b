"""Detectors. To add one: write a module like `draem.py`, then name its settings here."""

from typing import Annotated, TypeAlias

from pydantic import Field

from anogen_core.detectors.draem import DraemSettings

DetectorSettings: TypeAlias = Annotated[DraemSettings, Field(discriminator="kind")]
"""The settings of any detector; `kind` says which."""

__all__ = ["DetectorSettings", "DraemSettings"]
