"""Are boxes around support defects worth as much as masks of them? Writes the folders on which `anogen evaluate` says.

python benchmarks/from_boxes.py RUN.yaml WORK [--slack 0.5]

For a run file of one category whose photos have masks: WORK/masks/data is a plain folder with copies of its photos and
masks; in WORK/boxes/data the support photos have boxes instead, each side further out than the mask by up to `slack` of
its size. WORK/{masks,outlines,boxes}.yaml are the run file on them: with the masks that people drew, with the outlines
found in the boxes, and with the whole boxes. All are tested on the same photos, with the masks that people drew:

anogen evaluate WORK/outlines.yaml --seeds 2 --set 'evaluation.arms=[generated]'
"""

import argparse
import csv
import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import yaml
from box_outlines import boxes_around

from anogen_core.config import load_config
from anogen_core.data.frame import read_sample_mask
from anogen_core.records import Sample
from anogen_core.stages.catalogue import read_catalogue


def main() -> None:
    """Write the folders and the run files."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("work", type=Path)
    parser.add_argument("--slack", type=float, default=0.5)
    given = parser.parse_args()
    (category,) = read_catalogue(load_config(given.run))
    supports = {sample.sha256 for support in category.supports for sample in support.samples}
    boxed = [s for s in category.samples if s.sha256 in supports]
    _copy(given.work / "masks" / "data", category.samples, category.samples)
    _copy(given.work / "boxes" / "data", category.samples, [s for s in category.samples if s not in boxed])
    rows = []
    for i, sample in enumerate(boxed):
        mask = read_sample_mask(sample)
        boxes = boxes_around(mask, given.slack, np.random.default_rng(i))
        rows += [(_name(sample), sample.defect, b.x, b.y, b.width, b.height) for b in boxes]
    _write(given.work / "boxes/data/boxes.csv", ["image", "defect", "x", "y", "width", "height"], rows)
    values = yaml.safe_load(given.run.read_text(encoding="utf-8"))
    values["support"] = {"images": {s.defect: [Path(m.image_uri).name for m in s.samples] for s in category.supports}}
    for name, folder in (("masks", "masks"), ("outlines", "boxes"), ("boxes", "boxes")):
        values["reader"] = {"kind": "folder", "root": str(given.work / folder / "data")}
        values["output"] = str(given.work / folder / name)
        values["support"]["outline_boxes"] = name != "boxes"
        (given.work / f"{name}.yaml").write_text(yaml.safe_dump(values), encoding="utf-8")


def _name(sample: Sample) -> str:
    return f"{sample.defect}/{Path(sample.image_uri).name}"


def _write(path: Path, header: list[str], rows: Iterable[Sequence[object]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([header, *rows])


def _copy(root: Path, photos: Sequence[Sample], masked: Sequence[Sample]) -> None:
    for samples, kind in ((photos, "images"), (masked, "masks")):
        for sample in samples:
            source = sample.image_uri if kind == "images" else sample.mask_uri
            if source is None:
                continue
            copy = root / kind / Path(_name(sample)).with_suffix(Path(source).suffix)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, copy)
    groups = [(f"images/{_name(s)}", s.group) for s in photos if s.group is not None]
    if groups:
        _write(root / "index.csv", ["image", "part_group"], groups)


if __name__ == "__main__":
    main()
