"""What every exporter does."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path

from anogen_core.storage import Dataset

OnImage = Callable[[], None]


class Exporter(ABC):
    """Writes sealed datasets in the layout of another tool.

    Exporting the same dataset to the same place again completes what is missing and changes nothing else.

    Example:
        >>> MvtecExporterSettings().build().export(Dataset("runs/demo/datasets/bottle-1a2b3c4d.zarr"), Path("pulled"))
        PosixPath('pulled/bottle')
    """

    @abstractmethod
    def export(self, dataset: Dataset, dest: Path, *, on_image: OnImage | None = None) -> Path:
        """Write the dataset under `dest` and return the folder that holds it.

        Raises:
            InputError: the dataset is not sealed, or the directory holds something else.
            StorageError: a file could not be written, or the dataset is damaged.
        """
