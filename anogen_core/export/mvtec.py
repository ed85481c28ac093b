"""The layout of MVTec AD (Bergmann et al., CVPR 2019), which most tools for anomaly detection read.

    <dest>/<category>/train/good/<photo>.png                     the real photos that defects were generated on
    <dest>/<category>/test/<defect>/<request>.png                the generated images
    <dest>/<category>/ground_truth/<defect>/<request>_mask.png   where they are defective: 255, elsewhere 0
    <dest>/<category>/samples.csv, README.md                     where every image comes from

The real photos are framed as they were for generation. They are left out when they are no longer where they were.
"""

import csv
import io
import logging
from collections.abc import Iterable
from pathlib import Path
from typing import Literal, final

import cv2
import numpy as np
from jaxtyping import UInt8

from anogen_core.export.exporter import Exporter, OnImage
from anogen_core.export.folder import claim_folder, safe_names, write_once
from anogen_core.export.normals import NormalPhotos
from anogen_core.records import GOOD, LedgerRow
from anogen_core.settings import Settings
from anogen_core.storage import Dataset

log = logging.getLogger(__name__)

_COMPRESSION = [cv2.IMWRITE_PNG_COMPRESSION, 3]


class MvtecExporterSettings(Settings):
    """Image files in the layout of MVTec AD."""

    kind: Literal["mvtec"] = "mvtec"
    normals: bool = True
    """Also write the real photos that defects were generated on, as train/good, when they can still be read."""

    def build(self) -> "MvtecExporter":
        """Return the exporter that these settings describe."""
        return MvtecExporter(self)


@final
class MvtecExporter(Exporter):
    """Writes the layout of MVTec AD."""

    def __init__(self, settings: MvtecExporterSettings) -> None:
        self._settings = settings

    def export(self, dataset: Dataset, dest: Path, *, on_image: OnImage | None = None) -> Path:
        """Write all made images, their masks and the normal photos they were made from."""
        category = dataset.spec.category
        folder = claim_folder(dest, safe_names([category])[category], dataset, layout="mvtec")
        rows = dataset.made()
        files = _plan_files(rows)
        photos = _plan_photos(rows)
        normals = NormalPhotos(dataset)
        for sample in dataset:
            image, mask = files[sample.row.request_id]
            write_once(folder / image, _png(sample.image))
            write_once(folder / mask, _png(sample.mask))
            # Once for each photo: with the first image that was made on it.
            if self._settings.normals and sample.row.normal_id in photos:
                photo = normals.load(sample)
                if photo is not None:
                    write_once(folder / photos.pop(sample.row.normal_id), _png(photo))
            if on_image is not None:
                on_image()
        write_once(folder / "samples.csv", _table(rows, files))
        left_out = len(photos) if self._settings.normals else None
        write_once(folder / "README.md", _readme(dataset, left_out).encode())
        if left_out:
            log.warning("%s: %d normal photos could not be read and are not in train/good", folder, left_out)
        return folder


def _plan_files(rows: Iterable[LedgerRow]) -> dict[str, tuple[str, str]]:
    """Return the relative paths of image and mask for each request."""
    names = safe_names(row.request_id for row in rows)
    defects = safe_names([GOOD, *(row.defect for row in rows)])
    return {
        row.request_id: (
            f"test/{defects[row.defect]}/{names[row.request_id]}.png",
            f"ground_truth/{defects[row.defect]}/{names[row.request_id]}_mask.png",
        )
        for row in rows
    }


def _plan_photos(rows: Iterable[LedgerRow]) -> dict[str, str]:
    """Return the relative path of each normal photo."""
    stems = {row.normal_id: row.normal_id.rsplit("/", 1)[-1] for row in rows}
    unique = len(set(stems.values())) == len(stems)
    names = safe_names(stems.values() if unique else stems.keys())
    return {key: f"train/good/{names[stem if unique else key]}.png" for key, stem in stems.items()}


def _png(pixels: UInt8[np.ndarray, "..."]) -> bytes:
    ordered = cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR) if pixels.ndim == 3 else pixels
    return cv2.imencode(".png", ordered, _COMPRESSION)[1].tobytes()


def _table(rows: Iterable[LedgerRow], files: dict[str, tuple[str, str]]) -> bytes:
    """Return one line for each image: its files, then everything that the ledger knows."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["image", "mask", *LedgerRow.model_fields])
    for row in rows:
        values = row.model_dump(mode="json").values()
        cells = [" ".join(map(str, value)) if isinstance(value, list) else value for value in values]
        writer.writerow([*files[row.request_id], *cells])
    return text.getvalue().encode("utf-8", "backslashreplace")


def _readme(dataset: Dataset, left_out: int | None) -> str:
    spec, summary = dataset.spec, dataset.summary()
    normals = {
        None: "Normal photos were not asked for.",
        0: "`train/good` holds the real photos that defects were generated on, in the same frame.",
    }.get(
        left_out, f"{left_out} real photos that defects were generated on could not be read; `train/good` lacks them."
    )
    defects = "\n".join(f"* `test/{name}`: {count} images" for name, count in summary["defects"].items())
    licence = spec.data_licence or "not stated"
    return _README.format(spec=spec, digest=summary["digest"], licence=licence, normals=normals, defects=defects)


_README = """# {spec.category}: generated defects in the layout of MVTec AD

The images under `test` are synthetic, made with AnoGen from real photos of good parts; they are no test set of real
defects. Train on them, and evaluate on photos of your own.

{defects}

`ground_truth` holds their masks (255 is defective). {normals}
`samples.csv` says of every image what it was made from.

* Dataset: `{spec.name}`, digest `{digest}`
* Base model: {spec.base_model.name} (`{spec.base_model.fingerprint}`), licence: {spec.base_model.licence}
* Licence of the real photos: {licence}
"""
