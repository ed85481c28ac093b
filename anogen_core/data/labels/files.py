"""Finds the label files of a plain folder and reads each with the photos it is about."""

import functools
import json
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, Final

from anogen_core.data.inventory import (
    list_directory,
    photo_root,
    stem_of,
    subdirectory,
    up_to_root,
)
from anogen_core.data.labels.coco import CocoFile, is_coco
from anogen_core.data.labels.cvat import is_cvat, read_cvat
from anogen_core.data.labels.drawing import Drawing, ShapeError
from anogen_core.data.labels.entries import Entries, Entry
from anogen_core.data.labels.label import TOOLS, Labels, PhotoNames
from anogen_core.data.labels.label_studio import is_label_studio, read_label_studio
from anogen_core.data.labels.labelme import draw_labelme, is_labelme
from anogen_core.data.labels.numbered import LABEL_MAP
from anogen_core.data.labels.places import LabelPlace, label_places, other_places
from anogen_core.data.labels.runs import is_table_of_runs, read_runs
from anogen_core.data.labels.supervisely import draw_supervisely, is_supervisely
from anogen_core.data.labels.table import BOXES, label_columns
from anogen_core.data.labels.via import is_via, read_via
from anogen_core.data.labels.voc import draw_voc, is_voc, parse_xml, voc_defects
from anogen_core.data.labels.yolo import CLASS_FILES, Classes, class_files, draw_yolo, read_classes
from anogen_core.data.problems import UnusableFileError, error, unreadable, warning
from anogen_core.records import GOOD

_JSON, _XML, _CSV = ".json", ".xml", ".csv"
_OF_JSON: Final[Sequence[tuple[Callable[[Any], bool], Callable[[Any], Entries]]]] = (
    (is_coco, lambda document: CocoFile(document).entries()),
    (is_label_studio, read_label_studio),
    (is_via, read_via),
)
"""Whether a JSON document is one of a tool that has one for many photos, and how it is read."""
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
        for photo in photos:
            self._by_stem[photo.parent, stem_of(photo)].append(photo)

    def read(self, *, anywhere: bool) -> None:
        """Add what all label files say to the labels; each file that cannot be used is one error.

        Args:
            anywhere: Whether to look into folders of other names, too, where the usual places hold no label.
        """
        images = photo_root(self._root)
        parents = {photo.parent for photo in self._photos}
        folders = sorted(parents if images == self._root else {images, *parents})
        places = label_places(self._root, folders)
        for place in places:
            self._read_place(place)
        if anywhere and not self._labels.found:
            for place in other_places(self._root, folders, known=places):
                self._read_place(place)
        for folder in sorted({self._root, *folders, *(folder.parent for folder in folders if folder != self._root)}):
            for table in list_directory(folder, root=self._root, suffixes=frozenset({_CSV})).images:
                self._read_table(table)

    def _read_table(self, table: Path) -> None:
        is_read = table.parent == self._root
        if is_read and is_table_of_runs(table):
            everywhere = frozenset(photo.parent for photo in self._photos)
            place = LabelPlace(self._root, everywhere, frozenset({_CSV}))
            self._read_many(table, functools.partial(read_runs, table), place)
        elif (columns := label_columns(table)) and not (is_read and table.name == BOXES):
            what = f"is not read: it has the columns of another kind of labels ({', '.join(columns)})."
            fix = f"Write its boxes to {self._root / BOXES} (image,defect,x,y,width,height), or move it elsewhere."
            self._labels.problems.append(warning(table, what, fix=fix))

    def _read_place(self, place: LabelPlace) -> None:
        """Read the label files of a directory."""
        listing = list_directory(place.directory, root=self._root, suffixes=place.suffixes)
        told = place.directory in place.near  # of the directory itself, where photos were looked for
        self._labels.problems.extend(p for p in listing.problems if not told or Path(p.file).parent == place.directory)
        for file in listing.labels:
            if file.suffix.lower() == _JSON:
                self._read_json(file, place)
            elif file.suffix.lower() == _XML:
                self._read_xml(file, place)
            elif file.name.lower() not in (*CLASS_FILES, LABEL_MAP):
                self._read_yolo(file, place)

    def _read_yolo(self, file: Path, place: LabelPlace) -> None:
        photos = self._beside(file, place)
        if not photos:
            self._without_photo(file, is_label=file.parent not in place.near)
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
        self._draw_one(file, photos, functools.partial(draw_yolo, text, classes=classes))

    def _read_json(self, file: Path, place: LabelPlace) -> None:
        photos = self._beside(file, place)
        try:
            document = json.loads(_read_text(file))
        except (OSError, ValueError, RecursionError) as failure:
            known = isinstance(failure, OSError | ShapeError)
            told = failure if known else ShapeError(f"is not JSON ({failure}).")
            self._refuse(file, told, photos or self._about(place))
            return
        draw = draw_labelme if is_labelme(document) else draw_supervisely if is_supervisely(document) else None
        read = next((read for is_of, read in _OF_JSON if is_of(document)), None)
        if read is not None:
            self._read_many(file, functools.partial(read, document), place)
        elif draw is not None and photos:
            self._draw_one(file, photos, functools.partial(draw, document))
        elif place.is_for_labels or draw is not None:
            self._without_photo(file, is_label=draw is not None)

    def _read_xml(self, file: Path, place: LabelPlace) -> None:
        stem = stem_of(file)
        photos = self._beside(file, place)
        try:
            document = parse_xml(_read_text(file))
        except (ShapeError, OSError) as failure:
            if photos or place.is_for_labels or stem == _CVAT:
                self._refuse(file, failure, photos or self._about(place) if stem == _CVAT else photos)
            return
        if is_cvat(document):
            self._read_many(file, lambda: read_cvat(document), place)
        elif is_voc(document) and photos:
            named = [photo for photo in photos if photo.parent.name in voc_defects(document)] or photos
            self._draw_one(file, named, functools.partial(draw_voc, document))
        elif place.is_for_labels or is_voc(document):
            self._without_photo(file, is_label=is_voc(document))

    def _read_many(self, file: Path, read: Callable[[], Entries], place: LabelPlace) -> None:
        """Draw what a file says of many photos."""
        try:
            found = read()
        except ShapeError as failure:
            self._refuse(file, failure, self._about(place))
            return
        unknown = []
        for entry in found.entries:
            photos = self._named(entry, place)
            if len(photos) == 1:
                self._draw(file, photos[0], entry.draw)
            else:
                unknown.append(f"{entry.names[-1]} ({'no' if not photos else 'more than one'} photo)")
        if unknown:
            what = f"has annotations of {len(unknown)} photos that are not to be found: {', '.join(unknown[:3])}."
            self._refuse(file, ShapeError(what), self._about(place))
        fix = "Draw their defects, or move such photos into a folder of their defect or of good ones."
        self._labels.problems.extend(warning(file, remark, fix=fix) for remark in found.remarks)

    def _beside(self, file: Path, place: LabelPlace) -> list[Path]:
        """Return the photos that a file is named like, with their ending or without.

        Those that its folder is the place of come first, then those in one called like it, then any near.
        """
        namesakes = {folder for folder in place.near if folder.name == file.parent.name}
        for near in (place.own, namesakes, place.near):
            with_ending = [folder / file.stem for folder in sorted(near) if folder / file.stem in self._photos]
            found = with_ending or [
                p for folder in sorted(near) for p in self._by_stem.get((folder, stem_of(file)), ())
            ]
            if found:
                return found
        return []

    def _about(self, place: LabelPlace) -> list[Path]:
        """Return the photos that a file may be about."""
        return [photo for photo in self._photos if photo.parent in place.near]

    def _named(self, entry: Entry, place: LabelPlace) -> list[Path]:
        """Return the photos that an entry means: by the path from a folder near it, in `images`, or the name alone."""
        defects = sorted(entry.defects)
        paths = [PurePosixPath(name.replace("\\", "/")) for name in entry.names]
        for near in (place.own, place.near):
            there = {folder / path for path in paths for folder in near if folder / path in self._photos}
            if len(there) == 1:
                return list(there)
        for name in (*map(str, paths), *(path.name for path in paths)):
            if found := self._names.find(name, defects):
                return found
        return []

    def _draw_one(self, file: Path, photos: Sequence[Path], draw: Callable[[Drawing], None]) -> None:
        """Draw what a file says of one photo, or of those of one folder that are called alike."""
        if len({photo.parent for photo in photos}) > 1:
            what = f"may be about {photos[0]} or {photos[1]}: its folder does not tell."
            self._refuse(file, ShapeError(what), photos)
            return
        for photo in photos:
            self._draw(file, photo, draw)

    def _draw(self, file: Path, photo: Path, draw: Callable[[Drawing], None]) -> None:
        try:
            says = self._photos[photo]
            drawing = Drawing(photo, says if says != GOOD else None)
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
        above = [directory for directory in up_to_root(folder, self._root) if directory != self._root]
        for place in (*above, subdirectory(self._root, "labels"), photo_root(self._root), self._root):
            files = class_files(place, root=self._root)
            if not files:
                continue
            try:
                return read_classes(files)
            except (ShapeError, OSError) as failure:
                self._refuse(files[0], failure, ())
                return Classes(files[0], {})
        return None


def _read_text(file: Path) -> str:
    if not file.is_file():
        raise OSError("is not a regular file, or a link to nothing")
    try:
        return file.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as failure:
        raise ShapeError("is not text in UTF-8.") from failure
