"""Where a defect may be, and which pixels of its image are labelled.

In the order in which a plan uses them:

- `product.py`, once for a category: how part and background are told apart (`foreground.py`, `threshold.py`,
  `shade.py`, `edges.py`); `regions.py`: where defects of a kind may lie on one photo.
- `sampler.py`: the interface, and `Region`, one defect of a support mask. `transplant.py`, `perlin.py` and `box.py` are
  the samplers; `deformation.py` mirrors, scales, turns and bends an outline.
- `goals.py`: where a support defect goes, as the support photos tell: `direction.py` (edge, border, grain), `light.py`,
  `context.py` (surroundings, patterns) and `layout.py` (places of the product), which compare by `surroundings.py`.
  `scene.py` keeps what of these was found on one photo.
- `rim.py` wraps a sampler: what crosses the edge of the part lies across it as on its support photo and leaves no
  `sliver.py` outside, and the surface around is of the same colour (`material.py`) or tone (`tones.py`).
  `duplicates.py`: no two masks of a photo are nearly the same.
- `box_outline.py` (`counterpart.py`) and `refinement.py` (`segmentation.py`): the outline of a support defect inside
  its box, and of a generated one.

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
