"""Latent diffusion: base models, embedding inversion, blended sampling.

To add a base model: write its settings and class in a file like `stable_diffusion.py`, then name its settings here.
"""

from typing import Annotated

from pydantic import Field

from anogen_core.diffusion.hub import HubModelSettings
from anogen_core.diffusion.stable_diffusion import BundledModelSettings, StableDiffusionSettings

BaseModelSettings = Annotated[
    BundledModelSettings | StableDiffusionSettings | HubModelSettings, Field(discriminator="kind")
]

__all__ = ["BaseModelSettings", "BundledModelSettings", "HubModelSettings", "StableDiffusionSettings"]
