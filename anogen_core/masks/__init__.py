"""Where a defect may be.

To add a mask sampler: write its settings and class in a file like `box.py` and add the settings to
`MaskSamplerSettings` here.
"""

from typing import Annotated

from pydantic import Field

from anogen_core.masks.box import BoxSamplerSettings
from anogen_core.masks.perlin import PerlinSamplerSettings
from anogen_core.masks.transplant import TransplantSamplerSettings

MaskSamplerSettings = Annotated[
    BoxSamplerSettings | PerlinSamplerSettings | TransplantSamplerSettings, Field(discriminator="kind")
]

__all__ = ["BoxSamplerSettings", "MaskSamplerSettings", "PerlinSamplerSettings", "TransplantSamplerSettings"]
