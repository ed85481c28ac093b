"""The layout of MVTec AD (Bergmann et al., CVPR 2019), which most tools for anomaly detection read.

    <dest>/<category>/train/good/<photo>.png                     the real photos that defects were generated on
    <dest>/<category>/test/<defect>/<request>.png                the generated images
    <dest>/<category>/ground_truth/<defect>/<request>_mask.png   where they are defective: 255, elsewhere 0
    <dest>/<category>/samples.csv, README.md                     where every image comes from

The real photos are framed as they were for generation. They are left out when they are no longer where they were.
"""

from collections.abc import Iterable
from typing import Literal, final

from anogen_core.export.exporter import Export, Exporter, Listing
from anogen_core.export.folder import safe_names
from anogen_core.export.normals import NormalPhotos
from anogen_core.export.selection import ExportSettings
from anogen_core.records import GOOD, LedgerRow
from anogen_core.storage.croissant import FileGroup


class MvtecExporterSettings(ExportSettings):
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

    def write(self, export: Export) -> Listing:
        """Write the images, their masks and the normal photos they were made from."""
        files = _plan(export.rows)
        normals = NormalPhotos(
            export.dataset, export.rows if self._settings.normals else (), originals=export.originals
        )
        for sample in export:
            own = files[sample.row.request_id]
            export.write_picture(own["image"], sample)
            export.write_png(own["mask"], sample.mask)
            if (photo := normals.take(sample)) is not None:
                name, pixels = photo
                export.write_png(f"train/good/{name}.png", pixels)
        normals.warn(export.folder)
        groups = _GROUPS if self._settings.normals else _GROUPS[:2]
        return Listing("in the layout of MVTec AD", files, groups, normals.notes())


def _plan(rows: Iterable[LedgerRow]) -> dict[str, dict[str, str]]:
    """Return where image and mask of each request go."""
    names = safe_names(row.request_id for row in rows)
    defects = safe_names([GOOD, *(row.defect for row in rows)])
    return {
        row.request_id: {
            "image": f"test/{defects[row.defect]}/{names[row.request_id]}.png",
            "mask": f"ground_truth/{defects[row.defect]}/{names[row.request_id]}_mask.png",
        }
        for row in rows
    }


_GROUPS = (
    FileGroup("images", "test/*/*.png", "image/png", "the generated images, by defect."),
    FileGroup("masks", "ground_truth/*/*_mask.png", "image/png", "where they are defective: 255, elsewhere 0."),
    FileGroup(
        "normals", "train/good/*.png", "image/png", "the real photos that defects were generated on, in the same frame."
    ),
)
