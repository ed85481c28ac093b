"""Detectors. To add one: write a module like `draem.py`, then name its settings here."""

from typing import Annotated, TypeAlias

from pydantic import Field

from anogen_core.detectors.destseg import DestsegSettings
from anogen_core.detectors.draem import DraemSettings
from anogen_core.detectors.fpn import FpnSettings

DetectorSettings: TypeAlias = Annotated[DestsegSettings | DraemSettings | FpnSettings, Field(discriminator="kind")]
"""The settings of any detector; `kind` says which."""

__all__ = ["DestsegSettings", "DetectorSettings", "DraemSettings", "FpnSettings"]
