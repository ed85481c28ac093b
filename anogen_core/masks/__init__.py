"""Where a defect may be.

To add a mask sampler: write its settings and class in a file like `box.py`, then make `MaskSamplerSettings` here an
`Annotated[A | B, Field(discriminator="kind")]` of the members' settings.
"""

from anogen_core.masks.box import BoxSamplerSettings

MaskSamplerSettings = BoxSamplerSettings

__all__ = ["BoxSamplerSettings", "MaskSamplerSettings"]
