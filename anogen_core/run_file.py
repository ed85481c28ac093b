"""Write a commented run file for a directory of photos."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

import numpy as np
import yaml
from PIL import Image as PillowImage
from pydantic import BaseModel

from anogen_core.config import RunConfig
from anogen_core.data import (
    DagmReaderSettings,
    FolderReaderSettings,
    MvtecReaderSettings,
    ReaderSettings,
    VisaReaderSettings,
)
from anogen_core.data.categories import unwrapped
from anogen_core.data.dagm import is_dagm
from anogen_core.data.files import decode
from anogen_core.data.frame import FrameSettings, load_mask
from anogen_core.data.inventory import list_directory, photo_directory
from anogen_core.data.labels import TOOLS
from anogen_core.data.mask_choice import choose_mask_values
from anogen_core.data.mvtec import is_category
from anogen_core.data.photo_folders import split_images
from anogen_core.data.problems import UnusableFileError
from anogen_core.data.visa import is_visa
from anogen_core.detectors.sharpness import CLEAR, clear_size, shown_side
from anogen_core.errors import InputError
from anogen_core.records import GOOD, Sample
from anogen_core.settings import Settings

_HEADER = """\
# Run file of AnoGen. Every field is shown with its meaning; delete what you do not change.
#   anogen check {name}     look at the photos and the plan
#   anogen run {name}       make the datasets, train and compare detectors
"""
_STEP = 32
_WHITES: Final = tuple(2**bits - 1 for bits in (8, 10, 12, 14))
"""Of cameras that store fewer bits than the 16 of their files."""


_MEASURED = 9
"""Photos of each defect whose labels are measured, about."""
_IN_BOX = 0.45
"""Share of a box that the defect in it covers, usually (`benchmarks/box_outlines.py`)."""


def write_run_file(path: Path, root: Path) -> list[str]:
    """Write a run file that runs as it stands for the photos under `root`; return what was found, in words.

    Raises:
        InputError: no known layout was found under `root`.
    """
    reader, samples = _find_reader(root)
    reader, about_masks = choose_mask_values(reader, samples)
    samples = reader.build().read() if about_masks else samples
    frame, *notes = _choose_frame(samples)
    notes += about_masks
    white = _true_white(samples)
    if white is not None:
        frame = frame.model_copy(update={"white_level": white})
        notes.append(f"white: {white} (no value in the 16 bit photos is larger: {white.bit_length()} bits)")
    config = RunConfig(name=_run_name(root), output=f"{path.stem}-output", reader=reader, frame=frame)
    side, why = _choose_image_size(samples, frame, config.detector.image_size)
    if why:
        config = config.model_copy(update={"detector": config.detector.model_copy(update={"image_size": side})})
        notes.append(why)
    path.write_text(_HEADER.format(name=path.name) + "\n".join(_lines(config, 0)) + "\n", encoding="utf-8")
    return [*_summary(samples), *notes]


def _find_reader(root: Path) -> tuple[ReaderSettings, list[Sample]]:
    if not root.is_dir():
        raise InputError(
            f"--data {root}: there is no such directory. Expected photos in the layout of MVTec AD, VisA or "
            f"DAGM 2007, or images/ with masks/, boxes.csv, or labels of {TOOLS}."
        )
    reader = _known_layout(root.resolve())
    if reader is not None:
        return reader, reader.build().read()
    reader = FolderReaderSettings(root=str(root.resolve()))
    try:
        return reader, reader.build().read()
    except InputError as failure:
        if (inside := unwrapped(root.resolve())) != root.resolve():
            return _find_reader(inside)
        deeper = [d for d in list_directory(root.resolve(), root=root.resolve()).directories if _known_layout(d)]
        of_one_kind = [d for d in deeper if list_directory(photo_directory(d), root=d).images]
        if not deeper or (deeper[1:] and of_one_kind == deeper):
            raise
        others = f" {len(deeper) - 1} more do: move what they hold into one directory." if deeper[1:] else ""
        raise InputError(f"{failure} {deeper[0]} holds a known layout: name that one.{others}") from failure


def _known_layout(root: Path) -> ReaderSettings | None:
    """Return the reader of a directory that has the folders of a layout; None where only its photos could tell."""
    inside = list_directory(root, root=root).directories
    directories = (root, *inside, *map(unwrapped, inside))
    if any(is_visa(d) for d in directories):
        return VisaReaderSettings(root=str(root))
    if any(is_dagm(d) for d in directories):
        return DagmReaderSettings(root=str(root))
    if photo_directory(root).is_dir() or split_images(root):
        return FolderReaderSettings(root=str(root))
    return MvtecReaderSettings(root=str(root)) if any(is_category(d) for d in directories) else None


def _choose_frame(samples: list[Sample]) -> tuple[FrameSettings, str]:
    """Return the native size when every category has one, else the median size rounded to a multiple of 32."""
    sizes = {s.sample_id: _size(s) for s in samples}
    by_category: dict[str, set[tuple[int, int]]] = {}
    for sample in samples:
        size = sizes[sample.sample_id]
        if size is not None:
            by_category.setdefault(sample.category, set()).add(size)
    if all(len(found) <= 1 for found in by_category.values()):
        return FrameSettings(), "frame: native size (the photos of each category agree)"
    known = sorted(s for s in sizes.values() if s is not None)
    heights, widths = sorted(h for h, _ in known), sorted(w for _, w in known)
    size = _round(heights[len(heights) // 2]), _round(widths[len(widths) // 2])
    return FrameSettings(size=size), f"frame: {size[1]}x{size[0]} px (photos differ in size; this is near the median)"


def _choose_image_size(samples: list[Sample], frame: FrameSettings, usual: int) -> tuple[int, str]:
    """Return the detector's size at which the smallest kind of defect is large enough, and why it is not the usual."""
    side, why = usual, ""
    for category, defect in sorted({(s.category, d) for s in samples for d in s.defects}):
        if defect == GOOD:
            continue
        shown = [of_one for s in samples if s.category == category and (of_one := s.showing(defect)) is not None]
        shares = [share for s in shown[:: max(1, len(shown) // _MEASURED)] if (share := _share(s)) is not None]
        size = frame.size or next((size for s in shown if (size := _size(s)) is not None), None)
        if not shares or size is None:
            continue
        share = float(np.median(shares))
        if shown_side(share, usual) < CLEAR and (better := clear_size(share, size)) > side:
            side = better
            at = f"{category}/{defect} is about {shown_side(share, usual):.0f} px large at {usual}"
            why = f"detector.image_size: {side} ({at})"
    return side, why


def _share(sample: Sample) -> float | None:
    """Return the share of the photo that is labelled; None without a label that can be read (`check` says why)."""
    size = _size(sample)
    if size is None or not sample.is_labelled:
        return None
    try:
        share = float(load_mask(sample, size).mean())
    except InputError:
        return None
    return (share * _IN_BOX if sample.labelled_by_boxes else share) or None


def _true_white(samples: list[Sample]) -> int | None:
    """Return the white of a camera of fewer bits than its 16 bit files; None where they use all, or there are none.

    Where the first photo of each category has 8 bits, no other is decoded.
    """
    first = {s.category: s for s in reversed(samples)}
    if not any(map(_largest_value, first.values())):
        return None
    with ThreadPoolExecutor() as pool:
        largest = max(pool.map(_largest_value, samples))
    return next((white for white in _WHITES if 0 < largest <= white), None)


def _largest_value(sample: Sample) -> int:
    """Return the largest value of a 16 bit photo; 0 of one of 8 bits, or that cannot be read (`check` says why)."""
    try:
        pixels = decode(Path(sample.image_uri))
    except UnusableFileError:
        return 0
    return int(pixels.max()) if pixels.dtype == np.uint16 else 0


def _size(sample: Sample) -> tuple[int, int] | None:
    """Return (height, width) from the file's header; None when it cannot be read (`check` says why)."""
    try:
        with PillowImage.open(sample.image_uri) as image:
            return image.height, image.width
    except (OSError, ValueError, PillowImage.DecompressionBombError):
        return None


def _round(pixels: int) -> int:
    return max(_STEP, round(pixels / _STEP) * _STEP)


def _summary(samples: list[Sample]) -> Iterator[str]:
    for category in sorted({s.category for s in samples}):
        own = [s for s in samples if s.category == category]
        defects = sorted({d for s in own for d in s.defects} - {GOOD})
        shown = {d: [of_one for s in own if (of_one := s.showing(d)) is not None] for d in defects}
        counts = ", ".join(_count(d, photos) for d, photos in shown.items()) or "no defective photos"
        several = sum(bool(s.parts) for s in own)
        counts += f"; {several} photos show several defects" if several else ""
        yield f"{category}: {sum(s.defect == GOOD for s in own)} normal photos; {counts}"


def _count(defect: str, samples: list[Sample]) -> str:
    without = sum(not s.is_labelled for s in samples)
    return f"{defect} {len(samples)}" + (f" ({without} without a label)" if without else "")


def _run_name(root: Path) -> str:
    name = "".join(c if c.isascii() and (c.isalnum() or c in "_.-") else "-" for c in root.resolve().name).strip("-._")
    return name[:64] or "run"


def _lines(settings: BaseModel, depth: int) -> Iterator[str]:
    indent = "  " * depth
    for name, field in type(settings).model_fields.items():
        value = getattr(settings, name)
        for line in (field.description or "").splitlines():
            yield f"{indent}# {line.strip()}"
        if isinstance(value, Settings):
            yield f"{indent}{name}:"
            yield from _lines(value, depth + 1)
        else:
            # Some fields are no part of a dump while they have their default.
            yield f"{indent}{name}: {_yaml(settings.model_dump(mode='json').get(name, value))}"
        if depth == 0:
            yield ""


def _yaml(value: Any) -> str:
    text = yaml.safe_dump(value, default_flow_style=True, width=10_000, allow_unicode=True)
    return text.removesuffix("\n").removesuffix("...").rstrip()
