"""What tests of readers share: how a folder is read and audited."""

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from anogen_core.config import load_config
from anogen_core.data import FolderReaderSettings, ReaderSettings
from anogen_core.data.audit import audit
from anogen_core.data.frame import FrameSettings
from anogen_core.data.problems import Problem
from anogen_core.data.reader import Scan
from anogen_core.data.support import SupportSettings
from anogen_core.records import Sample
from anogen_core.run_file import write_run_file

SIZE = (32, 48)
"""Height and width of the photos of `conftest`."""


def scan_folder(root: Path) -> Scan:
    """Return what the plain folder's reader finds."""
    return FolderReaderSettings(root=str(root)).build().scan()


def scan_as_init(root: Path) -> Scan:
    """Return what is found by the reader that `anogen init` writes for a directory."""
    run_file = root.parent / "run.yaml"
    write_run_file(run_file, root)
    return load_config(run_file, []).reader.build().scan()


def samples_of(root: Path) -> dict[str, Sample]:
    """Return the photos of a plain folder, of which nothing is wrong, by file name."""
    scan = scan_folder(root)
    assert scan.problems == []
    return {Path(s.image_uri).name: s for s in scan.samples}


def audited(reader: ReaderSettings, *, shots: int = 3) -> list[Problem]:
    """Return what the audit says of a dataset."""
    return audit(reader.build().read(), reader, FrameSettings(), SupportSettings(shots=shots))


def filled(*polygons: Sequence[Sequence[float]]) -> np.ndarray:
    """Return the mask (32, 48) of what polygons cover."""
    mask = np.zeros(SIZE, np.uint8)
    for polygon in polygons:
        cv2.fillPoly(mask, [np.floor(polygon).astype(np.int32)], (1,))
    return mask > 0


def flatten(root: Path) -> None:
    """Move the photos of a plain folder into `images` itself."""
    for photo in sorted((root / "images").glob("*/*.png")):
        photo.rename(root / "images" / photo.name)
    for folder in [path for path in (root / "images").iterdir() if path.is_dir()]:
        folder.rmdir()
