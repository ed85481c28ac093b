"""Make the picture at the top of the README from a finished demo.

python benchmarks/readme_strip.py DEMO
"""

import sys
from pathlib import Path

import cv2
import numpy as np

from anogen_core.config import RunConfig, stored_config
from anogen_core.data.frame import load_image
from anogen_core.report.figures import label_picture
from anogen_core.stages import detection, reporting
from anogen_core.stages.catalogue import read_category
from anogen_core.stages.result import CategoryResult, read_result

SIDE = 192


def _tile(image: np.ndarray) -> np.ndarray:
    return np.asarray(cv2.resize(image, (SIDE, SIDE), interpolation=cv2.INTER_AREA))


def _row(config: RunConfig, result: CategoryResult) -> np.ndarray:
    defects = [e.defect for e in result.embeddings]
    examples = [
        reporting.dataset_examples(config, result, d, 4)[i]
        for i, d in ((0, defects[0]), (1, defects[1]), (2, defects[0]))
    ]
    first = examples[0]
    tiles = [
        first.normal,
        np.repeat(label_picture(first.box_mask, first.mask, SIDE)[..., None], 3, axis=2),
        *(e.generated for e in examples),
    ]
    checkpoint = next(c for c in result.checkpoints if c.arm == "generated")
    photo, _, heat = detection.example_predictions(checkpoint, config)[0]
    image = load_image(photo, read_category(config, result.category).frame)
    coloured = cv2.applyColorMap(
        (np.clip(heat / max(float(heat.max()), 1e-6), 0, 1) * 255).astype(np.uint8), cv2.COLORMAP_INFERNO
    )
    tiles += [cv2.addWeighted(image, 0.4, coloured[..., ::-1].copy(), 0.6, 0)]
    return np.hstack([_tile(tile) for tile in tiles])


def main() -> None:
    """Write docs/images/strip.png: normal, box, three generated, anomaly map of a real defect; one row per category."""
    output = str(Path(sys.argv[1]).resolve())
    result = read_result(output)
    config = stored_config(result.settings, output=output, source=output)
    strip = np.vstack([_row(config, category) for category in result.categories])
    target = Path(__file__).parents[1] / "docs" / "images" / "strip.png"
    target.parent.mkdir(exist_ok=True)
    cv2.imwrite(str(target), strip[..., ::-1])
    print(target)


if __name__ == "__main__":
    main()
