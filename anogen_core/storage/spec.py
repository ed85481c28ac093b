"""What a dataset will be: written once, before its first image."""

from typing import Annotated, Any, Literal

from pydantic import Field, NonNegativeInt, PositiveInt, model_validator

from anogen_core.records import BaseModelInfo, Record
from anogen_core.settings import fingerprint
from anogen_core.storage.layout import PIXEL_ARRAYS

_IDENTITY = {
    "format_version",
    "name",
    "category",
    "height",
    "width",
    "shard_size",
    "num_shards",
    "num_requests",
    "defects",
    "config_fingerprint",
}


class DatasetSpec(Record):
    """The immutable description of one dataset."""

    format_version: Literal["anods/1", "anods/2"] = "anods/2"
    """`anods/1` has no confidence maps."""
    name: Annotated[str, Field(min_length=1)]
    category: str
    height: PositiveInt
    """Of every image, in pixels."""
    width: PositiveInt
    shard_size: PositiveInt
    """Planned requests per shard of work, and images per stored shard."""
    num_shards: NonNegativeInt
    num_requests: NonNegativeInt
    """Planned images, whatever becomes of them."""
    defects: tuple[str, ...]
    """The array `label` counts in this order."""
    config_fingerprint: str
    """Of everything that decides the images: settings, photos, embeddings, base model, code versions."""
    recipes: dict[str, str] = Field(default_factory=dict)
    """For each defect the fingerprint of everything that decides its images, beside how many there are: requests of the
    same name and recipe are the same in all datasets."""
    base_model: BaseModelInfo
    settings: dict[str, Any] = Field(default_factory=dict)
    """The settings of the run as plain JSON values, for people; paths in it may differ between equal datasets."""
    code_versions: dict[str, int | str] = Field(default_factory=dict)
    """Version of each step's code that decides images."""
    data_licence: str | None = None
    """Licence of the real photos, where the user states it."""
    sources: str | None = None
    """Where the real photos come from, where the user states it."""

    @model_validator(mode="after")
    def _check_counts(self) -> "DatasetSpec":
        expected = -(-self.num_requests // self.shard_size)
        if self.num_shards != expected:
            raise ValueError(
                f"num_shards: {self.num_requests} requests in shards of {self.shard_size} make {expected} shards, "
                f"found {self.num_shards}"
            )
        return self

    @property
    def pixel_arrays(self) -> tuple[str, ...]:
        """Return the names of the arrays of pixels."""
        return tuple(name for name in PIXEL_ARRAYS if self.format_version != "anods/1" or name != "confidence")

    def identity(self) -> dict[str, Any]:
        """Return the values that make two datasets the same one, wherever their photos and settings files are."""
        return {**self.model_dump(mode="json", include=_IDENTITY), "base_model": self.base_model.fingerprint}

    def fingerprint(self) -> str:
        """Return 16 hex digits that identify this dataset's identity."""
        return fingerprint(self.identity())

    def requests_in(self, shard: int) -> int:
        """Return how many requests a shard of work has."""
        return min(self.shard_size, self.num_requests - shard * self.shard_size)
