"""Datasets as image files that other tools read.

To add a layout: write its settings and exporter in a file like `mvtec.py`, then make `ExporterSettings` here an
`Annotated[A | B, Field(discriminator="kind")]` of the members' settings.
"""

from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from anogen_core.errors import InputError
from anogen_core.export.exporter import Exporter, OnImage
from anogen_core.export.mvtec import MvtecExporterSettings
from anogen_core.storage import Dataset

ExporterSettings = MvtecExporterSettings

LAYOUTS = ("mvtec",)
"""What `pull --as` understands."""


def pull(dataset: Dataset, dest: Path, *, as_: str = "mvtec", on_image: OnImage | None = None) -> Path:
    """Write a sealed dataset to a directory in another tool's layout and return the folder of its category.

    Args:
        dataset: What to write.
        dest: The root of the layout; may hold other exports, nothing else.
        as_: One of `LAYOUTS`.
        on_image: Called after each generated image.

    Raises:
        InputError: the layout is unknown, the dataset is not sealed, or the directory holds something else.
        StorageError: a file could not be written, or the dataset is damaged.
    """
    try:
        settings = TypeAdapter(ExporterSettings).validate_python({"kind": as_})
    except ValidationError as error:
        raise InputError(f"--as {as_}: unknown layout. Expected one of: {', '.join(LAYOUTS)}.") from error
    return settings.build().export(dataset, dest, on_image=on_image)


__all__ = ["LAYOUTS", "Exporter", "ExporterSettings", "MvtecExporterSettings", "pull"]
