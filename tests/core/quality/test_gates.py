"""Gates: what is bad is named truly, what is like the support passes, and thresholds follow the support."""

import numpy as np
import pytest

from anogen_core.quality.gates import Gates, QualitySettings
from anogen_core.seeding import numpy_generator

SIDE = 96


def _surface(seed: int) -> np.ndarray:
    noise = numpy_generator(seed).normal(0, 4, (SIDE, SIDE, 1))
    return np.repeat((140 + noise).clip(0, 255).astype(np.uint8), 3, axis=2)


def _disc(row: int, column: int, radius: int) -> np.ndarray:
    rows, columns = np.indices((SIDE, SIDE))
    return (rows - row) ** 2 + (columns - column) ** 2 <= radius**2


def _pitted(seed: int, mask: np.ndarray, *, step: float = -50, detail: float = 12) -> np.ndarray:
    """Return a surface with a dark, grainy region."""
    grain = numpy_generator(seed + 1000).normal(0, detail, (SIDE, SIDE, 1))
    changed = _surface(seed).astype(np.float32) + step + grain
    return np.where(mask[..., None], changed, _surface(seed)).clip(0, 255).astype(np.uint8)


MASKS = [_disc(40, 40, 9), _disc(50, 30, 10), _disc(45, 60, 11)]
SUPPORT = [(_pitted(seed, mask), mask) for seed, mask in enumerate(MASKS)]


def _gates(support: list[tuple[np.ndarray, np.ndarray]]) -> Gates:
    gates = Gates.calibrate(support, QualitySettings())
    assert gates is not None
    return gates


GATES = _gates(SUPPORT)
HERE = _disc(30, 60, 10)


def test_an_image_like_the_support_passes() -> None:
    """New grain at another place, somewhat darker or fainter, is what generation is for."""
    for seed in range(10, 20):
        assert GATES.judge(_surface(seed), _pitted(seed, HERE, step=-40 - 3 * (seed - 10)), HERE).reason is None


def test_the_support_of_another_seed_passes_its_own_gates_but_for_copies() -> None:
    """Real defects of the kind are not filtered: each of six is judged by three others."""
    for seed in range(30, 36):
        mask = _disc(30 + seed % 7, 40, 8 + seed % 4)
        assert GATES.judge(_surface(seed), _pitted(seed, mask), mask).reason is None


@pytest.mark.parametrize(
    ("image", "reason"),
    [
        (_surface(7), "no visible change"),
        (_pitted(7, HERE, step=-2, detail=1), "no visible change"),
        (_pitted(7, HERE, step=+70), "unlike the support photos: lightness"),
        (_pitted(7, HERE) + np.where(HERE[..., None], [60, 0, 60], 0).astype(np.uint8), "unlike the support photos"),
    ],
)
def test_a_bad_image_is_named_by_what_is_wrong(image: np.ndarray, reason: str) -> None:
    """Nothing to see, the wrong direction, the wrong colour; the reason has the numbers and the setting."""
    found = GATES.judge(_surface(7), image, HERE).reason

    assert found is not None
    assert found.startswith(reason)
    assert "expected" in found
    assert "quality." in found


def test_a_defect_may_stand_out_as_little_as_its_start_there_but_not_by_nothing() -> None:
    """At an edge it stands out of the shade around it on its own photo, which is not all around it everywhere."""
    faint, nothing = (_pitted(7, HERE, step=step, detail=3) for step in (-12, -3))

    assert "no visible change" in str(GATES.judge(_surface(7), faint, HERE).reason)
    assert GATES.judge(_surface(7), faint, HERE, shown=faint).reason is None
    assert "no visible change" in str(GATES.judge(_surface(7), nothing, HERE, shown=nothing).reason)


def test_a_bite_may_show_what_lies_behind_the_part() -> None:
    """What the support defect shifts the colours by at its place is expected there, and nothing much beyond it."""
    white = _pitted(7, HERE, step=+70)

    assert GATES.judge(_surface(7), white, HERE, shown=_pitted(8, HERE, step=+70)).reason is None
    brighter = GATES.judge(_surface(7), _pitted(7, HERE, step=+110), HERE, shown=_pitted(8, HERE, step=+70)).reason
    assert brighter is not None
    assert brighter.startswith("unlike the support photos: lightness")


def test_a_change_at_the_border_alone_is_a_seam() -> None:
    """A frame around the mask is an artefact of pasting; the same strength inside is a defect."""
    ring = HERE & ~_disc(30, 60, 8)

    found = GATES.judge(_surface(7), _pitted(7, ring, detail=0), HERE).reason

    assert found is not None
    assert found.startswith("seam")


def test_a_copy_is_found_mirrored_and_turned() -> None:
    """The grain of a support defect is recognised on another surface; new grain is not."""
    photo, mask = SUPPORT[1]
    change = np.where(mask[..., None], photo.astype(np.int16) - 140, 0)
    for turned, place in ((change, mask), (np.rot90(change), np.rot90(mask)), (change[:, ::-1], mask[:, ::-1])):
        image = (_surface(9) + turned).clip(0, 255).astype(np.uint8)
        found = GATES.judge(_surface(9), image, np.ascontiguousarray(place)).reason
        assert found is not None
        assert found.startswith("copy of a support photo")


def test_thresholds_follow_the_support() -> None:
    """What is invisible beside clear defects is visible where the support photos are faint themselves."""
    faint = [(_pitted(seed, mask, step=-14, detail=2), mask) for seed, mask in enumerate(MASKS)]
    image = _pitted(7, HERE, step=-13, detail=2)

    assert (GATES.judge(_surface(7), image, HERE).reason or "").startswith("no visible change")
    assert _gates(faint).judge(_surface(7), image, HERE).reason is None


def test_quality_falls_from_the_support_photos_own_range_to_a_threshold() -> None:
    """Images like the support have quality 1 or nearly so, fainter ones less, and what is filtered has 0."""
    steps = (-50, -32, -26, -20, -2)
    verdicts = [GATES.judge(_surface(7), _pitted(7, HERE, step=step), HERE) for step in steps]

    qualities = [verdict.quality for verdict in verdicts]
    assert qualities == sorted(qualities, reverse=True)
    assert qualities[0] > 0.8
    assert all((verdict.quality > 0) == (verdict.reason is None) for verdict in verdicts)
    assert qualities[-1] == 0
