"""Training sets and the batches drawn from them."""

import cv2
import numpy as np
import pytest
import torch

from anogen_core.detectors.batches import BatchSampler
from anogen_core.detectors.draem import DraemSettings
from anogen_core.detectors.training_set import TrainingSet
from anogen_core.errors import InputError

SETTINGS = DraemSettings(steps=10, batch_size=64, image_size=32, rotate_share=0.0)


def _data(*, origins: bool = True, size: int = 32) -> TrainingSet:
    """Return four dark normal photos and eight copies of them with a white square in a larger box."""
    rng = np.random.default_rng(0)
    normals = rng.integers(0, 100, (4, size, size, 3), dtype=np.uint8)
    rows = np.arange(8) % 4
    generated, masks = normals[rows].copy(), np.zeros((8, size, size), np.uint8)
    generated[:, 10:14, 10:14] = 255
    masks[:, 8:16, 8:16] = 255
    return TrainingSet(normals, generated, masks, rows if origins else None)


def _sampler(data: TrainingSet, **changes: object) -> BatchSampler:
    return BatchSampler(SETTINGS.model_copy(update=changes), data, seed=3, device=torch.device("cpu"))


def test_a_batch_is_a_function_of_seed_and_step() -> None:
    """A step's batch is the same in another sampler and after other steps, and differs from that of another step."""
    first, second = _sampler(_data()), _sampler(_data())
    expected = first.batch(7)
    second.batch(0)

    assert torch.equal(second.batch(7).images, expected.images)
    assert not torch.equal(second.batch(8).images, expected.images)


def test_outside_the_mask_image_and_target_are_equal() -> None:
    """Every sample of either source shows its target outside the mask; weak labels belong to generated samples."""
    batch = _sampler(_data()).batch(0)

    changed = (batch.images != batch.target).any(dim=1, keepdim=True)
    weak = batch.weakly_labelled.flatten() == 1
    assert not changed[batch.mask == 0].any()
    assert weak.any()
    assert (batch.mask[weak].sum(dim=(1, 2, 3)) == 64).all()
    assert (changed[weak].sum(dim=(1, 2, 3)) == 16).all()


def test_shares_hold() -> None:
    """About half of the samples are normal, a quarter generated defects, a quarter painted; 0 and 1 are exact."""
    batches = [_sampler(_data()).batch(step) for step in range(10)]
    weak = torch.cat([batch.weakly_labelled.flatten() for batch in batches])

    assert weak.mean().item() == pytest.approx(0.25, abs=0.06)
    assert _sampler(_data(), normal_share=1.0).batch(0).mask.sum() == 0
    assert _sampler(_data(), normal_share=0.0, generated_share=1.0).batch(0).weakly_labelled.all()
    assert not _sampler(_data(), supervision="mask").batch(0).weakly_labelled.any()


def test_the_control_arm_sees_the_same_photos() -> None:
    """Without generated data the samples that are not generated are the same, bit for bit."""
    ours = _sampler(_data()).batch(0)
    data = _data()
    control = _sampler(TrainingSet(data.normals)).batch(0)

    same = ours.weakly_labelled.flatten() == 0
    assert torch.equal(ours.images[same], control.images[same])
    assert torch.equal(ours.mask[same], control.mask[same])
    assert not control.weakly_labelled.any()


def test_without_origins_the_target_is_unknown_inside_the_box() -> None:
    """The reconstruction is supervised outside the box only, and samples shown as normal are normal photos."""
    batch = _sampler(_data(origins=False)).batch(0)

    weak = batch.weakly_labelled.flatten() == 1
    normal = batch.mask.sum(dim=(1, 2, 3)) == 0
    assert torch.equal(batch.target_known[weak], 1 - batch.mask[weak])
    assert (batch.target_known[~weak] == 1).all()
    assert batch.images[normal].max() < 0.5


def test_rotation_turns_photo_and_mask_together() -> None:
    """The white square of a rotated generated photo stays inside its rotated box."""
    batch = _sampler(_data(), rotate_share=1.0, normal_share=0.0, generated_share=1.0).batch(0)

    white = batch.images.amin(dim=1, keepdim=True) > 0.9
    assert white.any()
    assert (batch.mask[white] == 1).all()
    assert set(batch.mask.flatten().tolist()) == {0.0, 1.0}


def test_resizing_grows_masks_outward() -> None:
    """A reduced mask covers every pixel that the box touches, and photos keep their mean."""
    data = _data(size=64)

    small = data.resized(16)

    assert small.masks is not None
    assert small.masks.dtype == np.bool_
    assert small.masks.sum(axis=(1, 2)).tolist() == [4] * 8
    assert small.normals.shape == (4, 16, 16, 3)
    assert small.normals.mean() == pytest.approx(data.normals.mean(), abs=1)


def test_exact_masks_keep_their_outline_when_they_shrink() -> None:
    """A disc covers the same share of the photo at half the size, where a box grows."""
    data = _data(size=64)
    rows, columns = np.mgrid[:64, :64]
    disc = (rows - 30.3) ** 2 + (columns - 33.1) ** 2 < 5.5**2

    def area(*, weak: bool) -> float:
        flags = np.full(8, weak)
        small = TrainingSet(data.normals, data.generated, np.stack([disc] * 8), weak=flags).resized(32)
        assert small.masks is not None
        return float(small.masks[0].mean() / disc.mean())

    assert area(weak=False) == pytest.approx(1, abs=0.15)
    assert area(weak=True) > 1.2


def test_a_thin_line_stays_in_one_piece_when_it_shrinks() -> None:
    """A slanted crack of one pixel at a quarter of the size: one component from end to end, hardly wider than that."""
    crack = np.zeros((64, 64), np.uint8)
    cv2.line(crack, (5, 9), (58, 41), color=1, thickness=1)
    data = _data(size=64)

    small = TrainingSet(data.normals, data.generated, np.stack([crack] * 8), weak=np.zeros(8, bool)).resized(16)

    assert small.masks is not None
    parts, labels = cv2.connectedComponents(small.masks[0].astype(np.uint8), connectivity=8)
    assert parts == 2
    columns = np.flatnonzero(labels.any(axis=0))
    assert (columns[0], columns[-1]) == (1, 14)
    assert small.masks[0].sum() <= 20


@pytest.mark.parametrize("weak", [True, False])
def test_a_single_anomalous_pixel_survives_reduction(weak: bool) -> None:  # noqa: FBT001
    """A mask of one pixel still marks one pixel after the photo shrinks to a quarter."""
    data = _data(size=64)
    masks = np.zeros((8, 64, 64), bool)
    masks[:, 5, 5] = True

    small = TrainingSet(data.normals, data.generated, masks, weak=np.full(8, weak)).resized(16)

    assert small.masks is not None
    assert small.masks.sum(axis=(1, 2)).tolist() == [1] * 8


@pytest.mark.parametrize("upright", [False, True])
@pytest.mark.parametrize(("short", "long"), [(50, 400), (63, 700)])
def test_thin_scratches_of_long_narrow_photos_survive(short: int, long: int, upright: bool) -> None:  # noqa: FBT001
    """One side shrinks and the other grows: wherever a scratch of one pixel lies, photo and label show it."""
    masks = np.broadcast_to(np.eye(long, dtype=bool)[:, None], (long, short, long))
    masks = np.ascontiguousarray(masks.swapaxes(1, 2) if upright else masks)
    photos = np.full((*masks.shape, 3), 100, np.uint8)
    photos[masks] = 250

    small = TrainingSet(photos[:1], photos, masks, weak=np.zeros(long, bool)).resized(64)

    assert small.masks is not None
    assert small.generated is not None
    assert small.masks.any(axis=(1, 2)).all()
    marked = [photo[mask].mean() for photo, mask in zip(small.generated, small.masks, strict=True)]
    assert min(marked) > 100 + 150 * 64 / long / 3
    assert np.allclose(small.generated.mean(axis=(1, 2, 3)) - 100, 150 / long, atol=0.1)


@pytest.mark.parametrize(
    ("size", "method"),
    [
        ((128, 90), cv2.INTER_AREA),
        ((64, 65), cv2.INTER_AREA),
        ((40, 64), cv2.INTER_LINEAR),
        ((9, 20), cv2.INTER_LINEAR),
    ],
)
def test_photos_of_ordinary_proportions_are_one_resize(size: tuple[int, int], method: int) -> None:
    """Averaged when both sides shrink, bilinear when both grow, also where one stays."""
    photos = np.random.default_rng(3).integers(0, 256, (1, *size, 3), dtype=np.uint8)

    square = TrainingSet(photos).resized(64).normals[0]

    np.testing.assert_array_equal(square, cv2.resize(photos[0], (64, 64), interpolation=method))


def test_photos_without_a_label_are_left_out_with_one_warning(caplog: pytest.LogCaptureFixture) -> None:
    """Photo, mask, origin and flag leave together; a set with nothing left is an error."""
    data = _data()
    assert data.masks is not None
    assert data.generated is not None
    masks = data.masks.copy()
    masks[[2, 5]] = 0

    kept = TrainingSet(data.normals, data.generated, masks, np.arange(8) % 4, np.arange(8) > 4)

    assert [record.getMessage() for record in caplog.records] == [
        "2 of 8 generated photos have an empty mask and are left out: 2, 5."
    ]
    rest = [0, 1, 3, 4, 6, 7]
    expected = TrainingSet(
        data.normals, data.generated[rest], masks[rest], np.arange(8)[rest] % 4, np.arange(8)[rest] > 4
    )
    assert kept.digest() == expected.digest()


def test_crops_are_of_the_whole_photo_and_hold_the_anomaly() -> None:
    """Each generated sample shows the anomaly somewhere in the square, its target the same square; all places occur."""
    settings = {"image_size": 64, "crop_size": 32, "normal_share": 0.0, "generated_share": 1.0}
    batch = _sampler(_data(size=64), **settings).batch(0)

    assert batch.images.shape == (64, 3, 32, 32)
    assert batch.mask.shape == (64, 1, 32, 32)
    changed = (batch.images != batch.target).any(dim=1, keepdim=True)
    assert not changed[batch.mask == 0].any()
    areas = batch.mask.sum(dim=(1, 2, 3))
    assert areas.min() >= 1
    assert areas.max() == 64
    assert len(set(batch.mask.flatten(1).argmax(dim=1).tolist())) > 20


def test_painted_crops_come_from_all_over_the_photo() -> None:
    """Normal photos, too, are learned from in squares: all parts of a gradient are seen."""
    gradient = np.broadcast_to(np.arange(64, dtype=np.uint8)[None, None, :, None], (4, 64, 64, 3)).copy()
    batch = _sampler(TrainingSet(gradient), image_size=64, crop_size=32, normal_share=1.0).batch(0)

    left = (batch.images[:, 0, 0, 0] * 255).round()
    assert batch.images.shape == (64, 3, 32, 32)
    assert left.min() < 5
    assert left.max() > 27
    assert len(set(left.tolist())) > 15


def test_a_crop_larger_than_the_photo_is_the_photo() -> None:
    """The same batch as without crops."""
    crop, whole = (_sampler(_data(size=64), image_size=64, crop_size=side).batch(0) for side in (96, None))

    assert torch.equal(crop.images, whole.images)
    assert torch.equal(crop.mask, whole.mask)


@pytest.mark.parametrize(("side", "wide"), [(64, (4, 3, 64, 64)), (96, (2, 3, 96, 96)), (256, (2, 3, 96, 96))])
def test_some_steps_look_at_larger_squares(side: int, wide: tuple[int, ...]) -> None:
    """A quarter of them, at as many fewer or at two that are no larger than that; which ones follows from the seed."""
    settings = {"image_size": side, "crop_size": 32, "wide_share": 0.25, "batch_size": 18}
    sampler, again = _sampler(_data(size=64), **settings), _sampler(_data(size=64), **settings)

    batches = [sampler.batch(step) for step in range(60)]

    shapes = [tuple(batch.images.shape) for batch in batches]
    assert set(shapes) == {(18, 3, 32, 32), wide}
    assert 6 <= shapes.count(wide) <= 24
    assert torch.equal(again.batch(59).images, batches[59].images)


def test_digest_depends_on_every_array() -> None:
    """The digest changes with a pixel, a mask, an origin or the absence of any."""
    data = _data()
    masks = data.masks.copy()  # type: ignore[union-attr]
    masks[0, 0, 0] = 255

    digests = [
        data.digest(),
        _data(origins=False).digest(),
        TrainingSet(data.normals, data.generated, masks, data.origins).digest(),
        TrainingSet(data.normals).digest(),
    ]

    assert len(set(digests)) == 4
    assert _data().digest() == digests[0]


def test_arrays_that_do_not_fit_are_refused() -> None:
    """Each message names the array and what was found."""
    data = _data()
    normals, generated, masks = data.normals, data.generated, data.masks

    with pytest.raises(InputError, match="normals must be uint8"):
        TrainingSet(normals.astype(np.float32))
    with pytest.raises(InputError, match="together"):
        TrainingSet(normals, generated)
    with pytest.raises(InputError, match=r"\(8, 32, 32\)"):
        TrainingSet(normals, generated, masks[:, None])  # type: ignore[index]
    with pytest.raises(InputError, match="empty"):
        TrainingSet(normals, generated, np.zeros((8, 32, 32), bool))
    with pytest.raises(InputError, match="rows of normals"):
        TrainingSet(normals, generated, masks, np.full(8, 4))
