"""A picture of the plan: support photos, then where defects will be placed, before anything is computed."""

from collections.abc import Iterator

import cv2
import numpy as np

from anogen_core.arrays import Image
from anogen_core.config import RunConfig
from anogen_core.masks.product import Product
from anogen_core.masks.regions import find_region
from anogen_core.masks.sampler import union_of
from anogen_core.records import GenerationRequest
from anogen_core.report.figures import BOX_COLOUR, encode_png, outline
from anogen_core.stages.catalogue import Category, read_catalogue
from anogen_core.stages.embedding import load_support
from anogen_core.stages.generation import plan_category, product_of

_COLUMNS, _SIDE, _GAP, _TITLE = 10, 160, 6, 26
_TALLEST = 3
"""Height of a picture in its widths, up to which tall photos are shown as wide as square ones."""


def placement_sheet(config: RunConfig) -> bytes:
    """Return a PNG with a row for each (category, defect): its support photos, then planned masks on normal photos.

    Where no defect may lie is darkened. The rows show requests that are evenly spaced in the plan.
    """
    rows = [_row(title, tiles) for category in read_catalogue(config) for title, tiles in _defects(config, category)]
    return encode_png(np.concatenate(rows))


def _defects(config: RunConfig, category: Category) -> Iterator[tuple[str, list[Image]]]:
    product = product_of(config, category)
    requests = plan_category(config, category, product)
    height, width = category.frame
    side = round(_SIDE * min(_TALLEST, max(1, height / width)))
    for support in category.supports:
        own = [r for r in requests if r.defect == support.defect]
        placed = [r for r in own if r.instances]
        shown = [outline(image, mask, side=side) for image, mask in load_support(support, config)][: _COLUMNS // 2]
        count = min(_COLUMNS - len(shown), len(placed))
        chosen = [placed[i * len(placed) // count] for i in range(count)]
        title = f"{category.name}: {support.defect} - {len(shown)} support photos, {len(placed)} planned"
        blocked = f", {len(own) - len(placed)} blocked" if len(placed) < len(own) else ""
        yield title + blocked, shown + [_planned(request, category, product, side=side) for request in chosen]


def _planned(request: GenerationRequest, category: Category, product: Product, *, side: int) -> Image:
    photo = category.load(request.normal)
    foreground = find_region(photo, product, request.category, request.defect)
    shaded = np.where(foreground[..., None], photo, photo // 3)
    mask = union_of([instance.placement for instance in request.instances], category.frame)
    return outline(shaded, mask, side=side, colour=BOX_COLOUR)


def _row(title: str, tiles: list[Image]) -> Image:
    """Return tiles side by side under a title, always as wide as a full row."""
    height = max(tile.shape[0] for tile in tiles)
    row = np.full((_TITLE + height + _GAP, _COLUMNS * (_SIDE + _GAP), 3), 255, np.uint8)
    cv2.putText(row, title, (4, 18), cv2.FONT_HERSHEY_SIMPLEX, 0.5, (20, 20, 20), 1, cv2.LINE_AA)
    for column, tile in enumerate(tiles):
        left = column * (_SIDE + _GAP)
        row[_TITLE : _TITLE + tile.shape[0], left : left + tile.shape[1]] = tile
    return row
