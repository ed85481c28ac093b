"""Finds the label files of a plain folder and reads each with the photos it is about."""

import functools
import json
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path, PurePosixPath
from xml.etree.ElementTree import Element

from anogen_core.data.inventory import (
    LABEL_SUFFIXES,
    list_directory,
    photo_directory,
    photo_root,
    stem_of,
    subdirectory,
)
from anogen_core.data.labels.coco import CocoFile, is_coco
from anogen_core.data.labels.cvat import is_cvat, read_cvat
from anogen_core.data.labels.drawing import Drawing, ShapeError
from anogen_core.data.labels.entries import Entries, Entry
from anogen_core.data.labels.label import TOOLS, Labels, PhotoNames
from anogen_core.data.labels.label_studio import is_label_studio, read_label_studio
from anogen_core.data.labels.labelme import draw_labelme, is_labelme
from anogen_core.data.labels.numbered import LABEL_MAP
from anogen_core.data.labels.runs import is_table_of_runs, read_runs
from anogen_core.data.labels.supervisely import draw_supervisely, is_supervisely
from anogen_core.data.labels.table import BOXES, label_columns
from anogen_core.data.labels.voc import draw_voc, is_voc, parse_xml, voc_defects
from anogen_core.data.labels.yolo import CLASS_FILES, Classes, draw_yolo, read_classes
from anogen_core.data.problems import UnusableFileError, error, unreadable, warning
from anogen_core.records import GOOD

_JSON, _XML, _CSV = ".json", ".xml", ".csv"
_OF_MANY = frozenset({_JSON, _XML})
"""Endings of files that may be about many photos."""
_CVAT = "annotations"
"""Name of the file that CVAT exports: no other one is expected to be of a tool when it is damaged."""
_FIX = "Correct it in the tool that wrote it, or remove the file."


class LabelFiles:
    """The label files of one dataset."""

    def __init__(self, root: Path, photos: Mapping[Path, str | None], names: PhotoNames, labels: Labels) -> None:
        self._root = root
        self._photos = photos
        self._names = names
        self._labels = labels
        self._classes_of = functools.cache(self._find_classes)
        self._refused: set[Path] = set()
        self._by_stem: dict[tuple[Path, str], list[Path]] = defaultdict(list)
        self._anywhere: dict[str, list[Path]] = defaultdict(list)
        for photo in photos:
            self._by_stem[photo.parent, stem_of(photo)].append(photo)
            self._anywhere[stem_of(photo)].append(photo)

    def read(self) -> None:
        """Add what all label files say to the labels; each file that cannot be used is one error."""
        images = photo_root(self._root)
        parents = {photo.parent for photo in self._photos}
        folders = sorted(parents if images == self._root else {images, *parents})
        for folder in folders:
            self._read_folder(folder, folder)
            inside = folder.is_relative_to(images)
            if inside:
                self._read_beside(folder, self._root, folder.relative_to(images), images=images)
            if photo_directory(folder.parent) == folder and folder.parent not in (self._root, images):
                self._read_folder(folder.parent, folder, _OF_MANY)
                self._read_beside(folder, folder.parent, Path(), images=images)
            elif not inside:
                self._read_folder(subdirectory(self._root, "labels"), folder)
                self._read_beside(folder, self._root, folder.relative_to(self._root), images=images)
        for folder in (self._root, subdirectory(self._root, "annotations")):
            if folder not in folders:
                self._read_folder(folder, None, _OF_MANY)
        for folder in sorted({self._root, *folders, *(folder.parent for folder in folders if folder != self._root)}):
            for table in list_directory(folder, root=self._root, suffixes=frozenset({_CSV})).images:
                self._read_table(table)

    def _read_table(self, table: Path) -> None:
        is_read = table.parent == self._root
        if is_read and is_table_of_runs(table):
            self._read_many(table, functools.partial(read_runs, table), None)
        elif (columns := label_columns(table)) and not (is_read and table.name == BOXES):
            what = f"is not read: it has the columns of another kind of labels ({', '.join(columns)})."
            fix = f"Write its boxes to {self._root / BOXES} (image,defect,x,y,width,height), or move it elsewhere."
            self._labels.problems.append(warning(table, what, fix=fix))

    def _read_beside(self, photos: Path, above: Path, below: Path, *, images: Path) -> None:
        """Read the folders of labels in a directory `above`, where `below` them are those of the photos."""
        self._read_folder(subdirectory(above, "labels") / below, photos)
        self._read_folder(subdirectory(above, "ann") / below, photos, frozenset({_JSON}))
        if photos != images:
            self._read_folder(subdirectory(above, "annotations") / below, photos, _OF_MANY)

    def _read_folder(self, folder: Path, beside: Path | None, suffixes: frozenset[str] = LABEL_SUFFIXES) -> None:
        """Read the label files of a folder, about the photos in a folder `beside`; about any where that is None."""
        listing = list_directory(folder, root=self._root, suffixes=suffixes)
        told = folder == beside  # of the folder itself, where photos were looked for
        self._labels.problems.extend(p for p in listing.problems if not told or Path(p.file).parent == folder)
        for file in listing.labels:
            if file.suffix.lower() == _JSON:
                self._read_json(file, beside)
            elif file.suffix.lower() == _XML:
                self._read_xml(file, beside)
            elif beside is not None and file.name.lower() not in (*CLASS_FILES, LABEL_MAP):
                self._read_yolo(file, beside)

    def _read_yolo(self, file: Path, beside: Path) -> None:
        photos = self._by_stem.get((beside, stem_of(file)), [])
        if not photos:
            self._without_photo(file, is_label=file.parent != beside)
            return
        try:
            text = _read_text(file)
        except (ShapeError, OSError) as failure:
            self._refuse(file, failure, photos)
            return
        classes = self._classes_of(file.parent) if text.strip() else None
        if classes is not None and not classes.names:
            self._labels.doubtful.update(photos)
            return
        for photo in photos:
            defect = self._photos[photo] if self._photos[photo] != GOOD else None
            self._draw(file, photo, functools.partial(draw_yolo, text, classes=classes, defect=defect))

    def _read_json(self, file: Path, beside: Path | None) -> None:
        photos = self._beside(file, beside)
        try:
            document = json.loads(_read_text(file))
        except (OSError, ValueError, RecursionError) as failure:
            known = isinstance(failure, OSError | ShapeError)
            self._refuse(
                file, failure if known else ShapeError(f"is not JSON ({failure})."), photos or self._about(beside)
            )
            return
        draw = draw_labelme if is_labelme(document) else draw_supervisely if is_supervisely(document) else None
        if is_coco(document):
            self._read_many(file, lambda: CocoFile(document).entries(), beside)
        elif is_label_studio(document):
            self._read_many(file, lambda: read_label_studio(document), beside)
        elif draw is not None and photos:
            if self._tells(file, photos):
                for photo in photos:
                    self._draw(file, photo, functools.partial(draw, document))
        elif beside is not None or draw is not None:
            self._without_photo(file, is_label=draw is not None)

    def _read_xml(self, file: Path, beside: Path | None) -> None:
        stem = stem_of(file)
        photos = self._anywhere.get(stem, []) if beside is None else self._by_stem.get((beside, stem), [])
        try:
            document = parse_xml(_read_text(file))
        except (ShapeError, OSError) as failure:
            if photos or beside is not None or stem == _CVAT:
                self._refuse(file, failure, photos or self._about(beside) if stem == _CVAT else photos)
            return
        if is_cvat(document):
            self._read_many(file, lambda: read_cvat(document), beside)
        elif is_voc(document) and photos:
            self._read_voc(file, document, photos)
        elif beside is not None or is_voc(document):
            self._without_photo(file, is_label=is_voc(document))

    def _read_voc(self, file: Path, document: Element, photos: Sequence[Path]) -> None:
        named = [photo for photo in photos if photo.parent.name in voc_defects(document)] or photos
        if self._tells(file, named):
            for photo in named:
                self._draw(file, photo, functools.partial(draw_voc, document))

    def _tells(self, file: Path, photos: Sequence[Path]) -> bool:
        """Return whether a file is about photos of one folder; tell where it is not."""
        if len({photo.parent for photo in photos}) <= 1:
            return True
        self._refuse(file, ShapeError(f"may be about {photos[0]} or {photos[1]}: its folder does not tell."), photos)
        return False

    def _read_many(self, file: Path, read: Callable[[], Entries], beside: Path | None) -> None:
        """Draw what a file says of many photos."""
        try:
            found = read()
        except ShapeError as failure:
            self._refuse(file, failure, self._about(beside))
            return
        unknown = []
        for entry in found.entries:
            photos = self._named(entry, beside)
            if len(photos) == 1:
                self._draw(file, photos[0], entry.draw)
            else:
                unknown.append(f"{entry.names[-1]} ({'no' if not photos else 'more than one'} photo)")
        if unknown:
            what = f"has annotations of {len(unknown)} photos that are not to be found: {', '.join(unknown[:3])}."
            self._refuse(file, ShapeError(what), self._about(beside))
        fix = "Draw their defects, or move such photos into a folder of their defect or of good ones."
        self._labels.problems.extend(warning(file, remark, fix=fix) for remark in found.remarks)

    def _beside(self, file: Path, folder: Path | None) -> list[Path]:
        """Return the photos of a folder, or of any, that a file is named like, with their ending or without."""
        if folder is None:
            with_ending = self._anywhere.get(stem_of(Path(file.stem)), [])
            return self._anywhere.get(stem_of(file)) or [photo for photo in with_ending if photo.name == file.stem]
        named = folder / file.stem
        return [named] if named in self._photos else self._by_stem.get((folder, stem_of(file)), [])

    def _about(self, beside: Path | None) -> list[Path]:
        """Return the photos that a file beside those of a folder may be about."""
        return [photo for photo in self._photos if beside in (None, photo.parent)]

    def _named(self, entry: Entry, beside: Path | None) -> list[Path]:
        """Return the photos that an entry means: by the path from its own folder, in `images`, or the name alone."""
        defects = sorted(entry.defects)
        paths = [PurePosixPath(name.replace("\\", "/")) for name in entry.names]
        for path in paths:
            if beside is not None and beside / path in self._photos:
                return [beside / path]
        for name in (*map(str, paths), *(path.name for path in paths)):
            if found := self._names.find(name, defects):
                return found
        return []

    def _draw(self, file: Path, photo: Path, draw: Callable[[Drawing], None]) -> None:
        try:
            drawing = Drawing(photo)
            draw(drawing)
        except UnusableFileError:  # of the photo, which the audit tells
            self._labels.doubtful.add(photo)
            return
        except ShapeError as failure:
            self._refuse(file, failure, [photo])
            return
        if drawing.is_mixed:
            what = "has both outlines and boxes of a photo: its boxes count whole."
            self._labels.problems.append(warning(file, what, fix="Draw outlines in place of the boxes."))
        label = drawing.label(file)
        if label.defects:
            self._labels.found[photo].append(label)

    def _refuse(self, file: Path, failure: Exception, photos: Sequence[Path]) -> None:
        """Tell why a file cannot be used, the first reason alone."""
        self._labels.doubtful.update(photos)
        if file not in self._refused:
            self._refused.add(file)
            problem = unreadable(file, failure) if isinstance(failure, OSError) else error(file, str(failure), fix=_FIX)
            self._labels.problems.append(problem)

    def _without_photo(self, file: Path, *, is_label: bool) -> None:
        if is_label:
            fix = "Name it like its photo, in a folder of the same name, or remove it."
            problem = error(file, "is a label file without a photo.", fix=fix)
        else:
            what = f"is not read: no label file of {TOOLS} that has a photo."
            problem = warning(file, what, fix="Name it like its photo, or move it elsewhere.")
        self._labels.problems.append(problem)

    def _find_classes(self, folder: Path) -> Classes | None:
        """Return the names of classes for the label files of a folder: its own or the dataset's; none if unreadable."""
        for place in dict.fromkeys((folder, subdirectory(self._root, "labels"), photo_root(self._root), self._root)):
            for name in CLASS_FILES:
                file = place / name
                if not file.is_file():
                    continue
                try:
                    return read_classes(file)
                except (ShapeError, OSError) as failure:
                    self._refuse(file, failure, ())
                    return Classes(file, {})
        return None


def _read_text(file: Path) -> str:
    if not file.is_file():
        raise OSError("is not a regular file, or a link to nothing")
    try:
        return file.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as failure:
        raise ShapeError("is not text in UTF-8.") from failure
