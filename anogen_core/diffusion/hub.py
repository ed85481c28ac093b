"""Base models by their Hugging Face hub id, from the local cache alone: a run never downloads."""

from pathlib import Path
from typing import Annotated, Final, Literal

import torch
from pydantic import Field

from anogen_core.diffusion.execution import ModelSettings
from anogen_core.diffusion.pipeline_files import Canvas, describe_directory, read_canvas
from anogen_core.diffusion.stable_diffusion import StableDiffusionModel
from anogen_core.errors import InputError
from anogen_core.records import BaseModelInfo

_FIELD: Final = "base_model.repo"


class HubModelSettings(ModelSettings):
    """A text-to-image pipeline of the Stable Diffusion or LDM family from the local Hugging Face cache."""

    kind: Literal["hub"] = "hub"
    repo: Annotated[str, Field(pattern=r"^[\w.-]+/[\w.-]+$")]
    """Id of the model, for example `CompVis/ldm-text2im-large-256`."""
    revision: Annotated[str, Field(pattern=r"^[0-9a-f]{40}$")]
    """Full commit hash of the model; names of branches and tags move."""
    cache: str | None = None
    """Directory of the cache; default: where Hugging Face's own tools keep theirs."""
    licence: str = "not stated"
    """Licence of the weights; recorded in every dataset made with them."""

    def build(self, device: torch.device) -> StableDiffusionModel:
        """Load the pipeline these settings name."""
        self.describe()
        return StableDiffusionModel(self._directory(), self, licence=self.licence, device=device, name=self._name)

    def describe(self) -> BaseModelInfo:
        """Return the identity of the weights without loading them.

        Raises:
            InputError: the model, or a part of it, is not in the cache.
        """
        directory = self._directory()
        return describe_directory(directory, licence=self.licence, name=self._name, field=_FIELD, remedy=self._remedy)

    def canvas(self) -> Canvas:
        """Return the canvas of the model without loading its weights.

        Raises:
            InputError: the model, or a part of it, is not in the cache.
        """
        return read_canvas(self._directory(), field=_FIELD, remedy=self._remedy)

    @property
    def _name(self) -> str:
        return f"{self.repo}@{self.revision[:8]}"

    @property
    def _remedy(self) -> str:
        place = "" if self.cache is None else f" --cache-dir {self.cache}"
        return (
            f"Fetch it where there is a network: `hf download {self.repo} --revision {self.revision}{place}`; or copy "
            "the pipeline and use `base_model: {kind: stable_diffusion, directory: ...}`."
        )

    def _directory(self) -> Path:
        """Return the folder of the revision in the cache."""
        from huggingface_hub import constants, try_to_load_from_cache  # noqa: PLC0415 - slow

        found = try_to_load_from_cache(self.repo, "model_index.json", cache_dir=self.cache, revision=self.revision)
        if not isinstance(found, str):
            raise InputError(
                f"{_FIELD}: {self.repo} at revision {self.revision} is not in the cache "
                f"{self.cache or constants.HF_HUB_CACHE} (no model_index.json). {self._remedy}"
            )
        return Path(found).parent
