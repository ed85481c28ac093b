"""VisA as its authors distribute it (Zou et al., ECCV 2022, arXiv 2207.14315): the archive unpacked, nothing moved.

    <root>/<category>/Data/Images/Normal/0000.JPG      normal photos
    <root>/<category>/Data/Images/Anomaly/000.JPG      defective photos
    <root>/<category>/Data/Masks/Anomaly/000.png       their masks, whose values number the defects
    <root>/<category>/image_anno.csv                   image,label,mask: the defect on each photo, or several
    <root>/split_csv/1cls.csv                          object,split,label,image,mask: train or test

The root may also be one category itself; its name is then the directory's name. A photo with several defects is
`combined`. Defective photos are test photos. So are the normal ones that the table of splits calls so, which lies in
the root or above it; without one, every fifth normal photo by content hash.
"""

from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Annotated, Literal, final

from pydantic import Field

from anogen_core.data.categories import CategorySettings, read_categories
from anogen_core.data.inventory import Photo, hash_files, list_directory, make_samples
from anogen_core.data.labels.label import is_plain_name
from anogen_core.data.pairing import pair_masks
from anogen_core.data.problems import Problem, error, warning
from anogen_core.data.reader import Reader, Scan
from anogen_core.data.splitting import split_photos
from anogen_core.data.tables import read_table
from anogen_core.records import COMBINED, GOOD

_NORMAL, _ANOMALY = "Normal", "Anomaly"
_TABLE = "image_anno.csv"
_SPLITS = Path("split_csv", "1cls.csv")

_Split = Literal["train", "test"]


class VisaReaderSettings(CategorySettings):
    """The dataset VisA as its authors distribute it, or photos laid out like it."""

    kind: Literal["visa"] = "visa"
    mask_threshold: Annotated[int, Field(ge=1, le=65535)] | None = 1
    """Values from this one on are anomalous: VisA's masks number the defects from 1 on."""

    def build(self) -> "VisaReader":
        """Return a reader of this dataset."""
        return VisaReader(self)


@final
class VisaReader(Reader):
    """Reads the layout of VisA."""

    def __init__(self, settings: VisaReaderSettings) -> None:
        self._settings = settings

    def scan(self) -> Scan:
        """Return all samples and everything that is wrong with how the dataset lies on disk.

        Raises:
            InputError: the root is missing or holds no category.
        """
        expected = f"<category>/Data/Images/{_NORMAL}, {_ANOMALY} and <category>/{_TABLE}"
        root, photos, problems = read_categories(
            self._settings, self._read_category, is_category=is_visa, expected=expected
        )
        digests, faults = hash_files(photo.path for photo in photos)
        splits, more = _splits(root, photos, digests)
        threshold, inverted = self._settings.mask_threshold, self._settings.mask_inverted
        samples = make_samples(photos, digests, splits, mask_threshold=threshold, mask_inverted=inverted)
        return Scan(samples, problems + faults + more)

    def _read_category(self, directory: Path, root: Path) -> tuple[list[Photo], list[Problem]]:
        images, masks = directory / "Data" / "Images", directory / "Data" / "Masks" / _ANOMALY
        normal, defective = (list_directory(images / kind, root=root) for kind in (_NORMAL, _ANOMALY))
        truth = list_directory(masks, root=root)
        problems = normal.problems + defective.problems + truth.problems
        labels, faults = _labels(directory / _TABLE, defective.images)
        problems += faults
        pairs, faults = pair_masks(defective.images, truth.images, suffixes=self._settings.mask_suffixes)
        problems += faults
        photos = [Photo(path, directory.name, GOOD) for path in normal.images]
        photos += [
            Photo(path, directory.name, labels[path], mask=pairs.get(path))
            for path in defective.images
            if path in labels
        ]
        return photos, problems


def is_visa(directory: Path) -> bool:
    """Return whether a directory is a category of VisA."""
    return any((directory / "Data" / "Images" / kind).is_dir() for kind in (_NORMAL, _ANOMALY))


def _labels(table: Path, photos: list[Path]) -> tuple[dict[Path, str], list[Problem]]:
    """Return the defect of each defective photo, and an error for each that has none."""
    rows, problems = read_table(table, ("image", "label"))
    by_name = {path.name: path for path in photos}
    labels: dict[Path, str] = {}
    for row in rows:
        place, image = f"{table}:{row.line}", PurePosixPath(row.values["image"].replace("\\", "/"))
        if image.parent.name != _ANOMALY:
            continue
        if image.name not in by_name:
            problems.append(error(place, f"names {image}, which is not there.", fix="Add the photo or remove the row."))
            continue
        names = sorted({name.strip() for name in row.values["label"].split(",")} - {""})
        if not names or not all(map(is_plain_name, names)) or {GOOD, "normal"}.intersection(names):
            fix = "Give the name of the defect, or several with commas between them."
            problems.append(error(place, f"has the label {row.values['label']!r}.", fix=fix))
            continue
        defect = COMBINED if len(names) > 1 else names[0]
        if labels.setdefault(by_name[image.name], defect) != defect:
            problems.append(error(place, f"labels {image} once more, otherwise.", fix="Keep one of the rows."))
    if not problems:
        fix = f"Add a row to {table}, or move the photo away."
        problems = [error(p, f"has no row in {_TABLE}.", fix=fix) for p in photos if p not in labels]
    return labels, problems


def _splits(root: Path, photos: list[Photo], digests: dict[Path, str]) -> tuple[dict[Path, _Split], list[Problem]]:
    """Return the split of each photo: as the table of splits has it, else every fifth normal photo for tests."""
    table = next((p for p in (root / _SPLITS, root.parent / _SPLITS) if p.is_file()), None)
    if table is None:
        splits: dict[Path, _Split] = {}
        for category in sorted({photo.category for photo in photos}):
            splits |= split_photos([photo for photo in photos if photo.category == category], digests)
        return splits, []
    rows, problems = read_table(table, ("split", "image"))
    said: Mapping[str, str] = {row.values["image"].replace("\\", "/"): row.values["split"] for row in rows}
    unknown = sorted(set(said.values()) - {"train", "test"})
    if unknown:
        what = f"calls splits {', '.join(unknown)}."
        problems.append(error(table, what, fix="Every row is of `train` or `test`."))
    found = {p.path: said.get(f"{p.category}/Data/Images/{_NORMAL}/{p.path.name}") for p in photos if p.defect == GOOD}
    absent = [path for path, split in found.items() if split is None]
    if absent:
        what = f"has no row for {len(absent)} normal photos, such as {absent[0]}: they are trained on."
        problems.append(warning(table, what, fix="Add rows, or remove the table: then every fifth is held out."))
    return {p.path: "train" if found.get(p.path, "test") in {"train", None} else "test" for p in photos}, problems
