"""Defects of a product of several colours lie where the surface has the colour that it has around their supports."""

import numpy as np
import pytest

from anogen_core.arrays import Image, Mask
from anogen_core.diffusion.crop import CropSettings
from anogen_core.masks.foreground import ForegroundSettings
from anogen_core.masks.material import Materials
from anogen_core.masks.product import Product
from anogen_core.masks.sampler import Segmented, render
from anogen_core.masks.transplant import TransplantSamplerSettings
from anogen_core.planning import PlanSettings, plan_requests
from anogen_core.records import Sample
from anogen_core.seeding import numpy_generator

FRAME = (96, 128)
EVERYWHERE = np.ones(FRAME, bool)
NORMALS = [
    Sample(
        sample_id=f"c/train/good/{i}", category="c", defect="good", split="train", image_uri=f"/{i}.png", sha256=str(i)
    )
    for i in range(5)
]
RED, CREAM, DARK_RED = (170, 40, 40), (235, 220, 190), (85, 20, 20)


def _photo(left: tuple[int, int, int], right: tuple[int, int, int], *, seed: int = 0) -> Image:
    """Return a photo whose halves have these colours."""
    halves = np.where(np.arange(FRAME[1])[None, :, None] < 64, left, right)
    return np.clip(halves + numpy_generator(seed).normal(0, 3, (*FRAME, 3)), 0, 255).astype(np.uint8)


def _spot(x: int) -> Mask:
    mask = np.zeros(FRAME, bool)
    mask[40:50, x : x + 12] = True
    return mask


def _planned(support: Image, spot: Mask, photo: Image) -> list[Mask]:
    settings = PlanSettings(
        images_per_defect=20,
        mask_sampler=TransplantSamplerSettings(),
        foreground=ForegroundSettings(method="full"),
        crop=CropSettings(),
        canvas=64,
        cells=16,
        shown=True,
    )
    requests = plan_requests(
        NORMALS,
        {"dent": [(support, spot)]},
        settings,
        product=Product(settings=settings.foreground, typical=tuple(NORMALS)),
        load=lambda _: photo,
        seed=0,
    )
    return [render(request.instances[0].placement, FRAME) for request in requests]


@pytest.mark.parametrize("x", [20, 90])
def test_a_defect_stays_on_its_own_material(x: int) -> None:
    """A spot of the red half goes to red halves, which are the right ones here, and one of the cream half to cream."""
    planned = _planned(_photo(RED, CREAM), _spot(x), _photo(CREAM, RED, seed=1))

    wanted = np.zeros(FRAME, bool)
    wanted[:, 64:] = x < 64
    wanted[:, :64] = x > 64
    assert min(float(wanted[mask].mean()) for mask in planned) > 0.9


def test_light_makes_no_other_material() -> None:
    """Red in the shade is red: such a product is of one material, and its defects go anywhere."""
    normals = [Segmented(_photo(RED, DARK_RED), EVERYWHERE)]

    assert Materials.learn([(normals[0], _spot(20))], normals) is None
    columns = [int(np.nonzero(mask)[1].mean()) for mask in _planned(_photo(RED, DARK_RED), _spot(20), normals[0].photo)]
    assert min(columns) < 55
    assert max(columns) > 75


def test_a_photo_without_the_material_takes_defects_too() -> None:
    """A product that comes in several colours: where there is no red, the defect of the red one goes anywhere."""
    shown = Segmented(_photo(RED, CREAM), EVERYWHERE)
    materials = Materials.learn([(shown, _spot(20))], [shown])

    assert materials is not None
    assert materials.unlike(0, (1, 0, 0, 0, 1, 0), _spot(20), _photo(CREAM, CREAM), EVERYWHERE) == 1
    assert materials.unlike(0, (1, 0, 60, 0, 1, 0), _spot(80), _photo(CREAM, RED), EVERYWHERE) == 0
    assert len(_planned(_photo(RED, CREAM), _spot(20), _photo(CREAM, CREAM))) == 20


def test_what_surrounds_a_defect_is_turned_with_it() -> None:
    """Half of what is around a spot at the seam is red: at a mirrored seam a mirrored spot lies among the same."""
    seam, photo = _spot(58), _photo(RED, CREAM)
    materials = Materials([(Segmented(photo, EVERYWHERE), seam)])
    mirror = (-1, 0, FRAME[1] - 1, 0, 1, 0)

    assert materials.unlike(0, mirror, seam[:, ::-1], _photo(CREAM, RED), EVERYWHERE) == 0
    assert materials.unlike(0, mirror, seam[:, ::-1], photo, EVERYWHERE) > 0.7
