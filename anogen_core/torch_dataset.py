"""A generated dataset for PyTorch, read where it is: from a directory or s3://, without pulling it first."""

from typing import TypedDict, final

import torch
from jaxtyping import Float
from torch.utils.data import Dataset as TorchDataset

from anogen_core.export.selection import SelectionSettings
from anogen_core.storage import Dataset, StoredSample


class Item(TypedDict):
    """One image with its labels."""

    image: Float[torch.Tensor, "3 H W"]
    """RGB from 0 to 1."""
    mask: Float[torch.Tensor, "1 H W"]
    """1 where the pixels show the defect, else 0; as a reviewer fixed it."""
    box_mask: Float[torch.Tensor, "1 H W"]
    """1 where the defect was allowed to be, else 0."""
    confidence: Float[torch.Tensor, "1 H W"]
    """How sure `mask` is, 0 to 1."""
    label: int
    """Index into `defects`."""
    request_id: str


@final
class GeneratedImages(TorchDataset[Item]):
    """The chosen images of a sealed dataset; pickles as its URI, so it may be used by any number of workers.

    Args:
        uri: Path or s3:// URI that ends in `.zarr`.
        selection: Which images; default: all that reviewers did not reject.

    Raises:
        InputError: the dataset is not sealed or has no such defect.

    Example:
        >>> images = GeneratedImages("runs/demo/datasets/bottle-1a2b3c4d.zarr", SelectionSettings(min_quality=0.5))
        >>> loader = torch.utils.data.DataLoader(images, batch_size=8, shuffle=True, num_workers=2)
        >>> next(iter(loader))["image"].shape
        torch.Size([8, 3, 256, 256])
    """

    def __init__(self, uri: str, selection: SelectionSettings | None = None) -> None:
        selection = selection or SelectionSettings()
        self._dataset = Dataset(uri)
        self._verdicts = selection.verdicts(self._dataset)
        self._rows = selection.choose(self._dataset, self._verdicts)
        self.defects = self._dataset.spec.defects
        """Names of the classes."""

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: int) -> Item:
        """Return one image, in four ranged reads; raises IndexError and what `Dataset.image` raises."""
        row, dataset = self._rows[index], self._dataset
        number = row.row if row.row is not None else -1
        pixels = (dataset.image(number), dataset.box_mask(number), dataset.mask(number), dataset.confidence(number))
        stored = StoredSample(row, *pixels)
        sample = stored.judged(self._verdicts.get(number)) or stored
        image, box_mask, mask, confidence = (
            torch.from_numpy(array.copy()).float() / 255
            for array in (sample.image, sample.box_mask, sample.mask, sample.confidence)
        )
        return Item(
            image=image.permute(2, 0, 1).contiguous(),
            mask=mask[None],
            box_mask=box_mask[None],
            confidence=confidence[None],
            label=self.defects.index(row.defect),
            request_id=row.request_id,
        )
