"""How long is it until the first image is generated? Seconds of CPU time of each stage before that.

python benchmarks/planning.py SIDE NORMALS REQUESTS [--blocked]

Takes NORMALS good photos of each of the demo's two categories (forty drawn ones, and others of these in other light
with other noise) at SIDE x SIDE px, and plans REQUESTS of each of its four defects. With `--blocked` defects may lie on
a spot that is too small for any. The last line holds a digest of the plan, which no speed-up may change.
"""

import argparse
import functools
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import cv2
import numpy as np

from anogen_core.arrays import Image
from anogen_core.config import RunConfig, parse_config
from anogen_core.data.audit import audit
from anogen_core.errors import AnogenError
from anogen_core.procedural.demo import CATEGORIES
from anogen_core.records import GenerationRequest
from anogen_core.settings import fingerprint
from anogen_core.stages.catalogue import Category, read_catalogue
from anogen_core.stages.generation import plan_category, product_of
from anogen_core.stages.room import require_room

T = TypeVar("T")
_DRAWN, _SHOWN = 40, 4
"""Photos of good parts that are drawn, and photos of each defect."""


def main() -> None:
    """Print one line for each stage."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("side", type=int)
    parser.add_argument("normals", type=int)
    parser.add_argument("requests", type=int)
    parser.add_argument("--blocked", action="store_true")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        root = Path(place, "photos")
        _draw(root, given.side, given.normals)
        values: dict[str, Any] = {
            "output": f"{place}/out",
            "reader": {"kind": "mvtec", "root": str(root)},
            "generation": {"images_per_defect": given.requests},
        }
        if given.blocked:
            legal = np.zeros((given.side, given.side), np.uint8)
            legal[: given.side // 64, : given.side // 64] = 255
            _write(Path(place, "legal.png"), legal)
            values["foreground"] = {"method": "full", "legal": f"{place}/legal.png"}
        config = parse_config(values, source="benchmark")
        samples = _timed("read", lambda: config.reader.build().read())
        _timed("audit", lambda: audit(samples, config.reader, config.frame, config.support))
        catalogue = _timed("catalogue", lambda: read_catalogue(config))
        _timed("room", lambda: _room(lambda: require_room(config)))
        plans = [
            _timed(f"plan of {category.name}", functools.partial(_plan, config, category)) for category in catalogue
        ]
        requests = [request for plan in plans for request in plan]
        placed = [[r.request_id, r.blocked, r.seed, [i.model_dump() for i in r.instances]] for r in requests]
        print(
            f"{len(requests)} requests, {sum(r.blocked is not None for r in requests)} blocked: {fingerprint(placed)}"
        )


def _timed(stage: str, work: Callable[[], T]) -> T:
    started = time.process_time()
    done = work()
    print(f"{stage:16} {time.process_time() - started:8.1f} s", flush=True)
    return done


def _plan(config: RunConfig, category: Category) -> list[GenerationRequest]:
    return plan_category(config, category, product_of(config, category))


def _room(look: Callable[[], object]) -> None:
    try:
        look()
    except AnogenError as error:
        print(str(error).splitlines()[0])


def _draw(root: Path, side: int, normals: int) -> None:
    rng = np.random.default_rng(0)
    for category, (photograph, defects) in CATEGORIES.items():
        drawn = [photograph(rng, None)[0] for _ in range(min(_DRAWN, normals))]
        for number in range(normals):
            light = rng.integers(-6, 7) + rng.integers(-1, 2, drawn[0].shape) if number >= _DRAWN else 0
            photo = (drawn[number % _DRAWN].astype(np.int16) + light).clip(0, 255).astype(np.uint8)
            _write(root / category / "train" / "good" / f"{number:05}.png", _scaled(photo, side))
        _write(root / category / "test" / "good" / "0.png", _scaled(photograph(rng, None)[0], side))
        for defect in defects:
            for number in range(_SHOWN):
                photo, mask = photograph(rng, defect)
                _write(root / category / "test" / defect / f"{number}.png", _scaled(photo, side))
                label = (_scaled(255 * mask.astype(np.uint8), side) > 127).astype(np.uint8)
                _write(root / category / "ground_truth" / defect / f"{number}_mask.png", 255 * label)


def _scaled(image: Image, side: int) -> Image:
    return np.asarray(cv2.resize(image, (side, side), interpolation=cv2.INTER_CUBIC))


def _write(file: Path, pixels: np.ndarray) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(file), pixels[..., ::-1] if pixels.ndim > 2 else pixels)


if __name__ == "__main__":
    main()
