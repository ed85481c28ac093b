"""The weights that the feature pyramid starts from: how they are trained, and what those that ship know."""

from pathlib import Path

import numpy as np
import pytest
import torch

from anogen_core.detectors import FpnSettings
from anogen_core.detectors.fpn import BUNDLED, Fpn
from anogen_core.errors import InputError
from anogen_core.pretraining import segmenter
from anogen_core.pretraining.corpus import Corpus, CorpusFiles, CorpusSettings
from anogen_core.pretraining.files import read_settings
from anogen_core.pretraining.segmenter import (
    SegmenterPretraining,
    SegmenterTrainer,
    SegmenterTraining,
    train_segmenter,
)
from anogen_core.pretraining.windows import window_batch
from anogen_core.seeding import numpy_generator, torch_generator

UNSEEN = CorpusSettings(num_scenes=48, scene_size=160, seed=12345)
SMALL = SegmenterTraining(steps=3, batch_size=2, size=64)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    files = CorpusFiles(tmp_path_factory.mktemp("unseen"), UNSEEN)
    assert files.render()
    return files.load()


def test_windows_are_photos_and_masks(corpus: Corpus) -> None:
    """In the range of a photo, of one size; some show a defect, some the same scenes without one."""
    settings = SegmenterTraining(batch_size=40, size=64)

    windows = window_batch(corpus, numpy_generator(0), settings)

    images, masks = windows.images, windows.masks
    assert len(windows.scenes) == 40
    assert images.shape == (40, 3, 64, 64)
    assert masks.shape == (40, 1, 64, 64)
    assert 0 <= images.min() < images.max() <= 1
    assert set(np.unique(masks.numpy())) == {0, 1}
    assert 5 < int(masks.amax((1, 2, 3)).sum()) < 30


def test_training_resumes_to_the_same_weights(tmp_path: Path) -> None:
    """Stopped after two steps and started again, as if it had not been; the file has half the size."""
    few = CorpusSettings(num_scenes=4, scene_size=128)
    whole = train_segmenter(tmp_path / "a", tmp_path / "a.safetensors", settings=SMALL, corpus=few)
    assert whole is not None
    for steps in (2, 3):
        # The schedule of the rates is that of the whole training.
        resumed = train_segmenter(tmp_path / "b", tmp_path / "b.safetensors", settings=SMALL, corpus=few, stop_at=steps)

    assert resumed is not None
    expected = whole.state_dict()
    assert all(torch.equal(value, expected[name]) for name, value in resumed.state_dict().items())
    assert (tmp_path / "a.safetensors").read_bytes() == (tmp_path / "b.safetensors").read_bytes()
    assert (tmp_path / "a.safetensors").stat().st_size < 0.6 * sum(v.nbytes for v in expected.values())


def test_other_settings_are_another_training(tmp_path: Path) -> None:
    """Another seed or other scenes are told; time that is up from the beginning leaves nothing but scenes."""
    few = CorpusSettings(num_scenes=40, scene_size=128)
    out = tmp_path / "a.safetensors"
    assert train_segmenter(tmp_path, out, settings=SMALL, corpus=few, minutes=0) is None
    assert not out.exists()
    train_segmenter(tmp_path, out, settings=SMALL, corpus=few)

    other = SMALL.model_copy(update={"seed": 1, "steps": 4})
    with pytest.raises(InputError, match=r"differs in corpus\.seed \(0 there, 2 here\), training\.seed \(0 there, 1"):
        train_segmenter(tmp_path, out, settings=other, corpus=few.model_copy(update={"seed": 2}))


def test_workers_cut_the_windows_of_their_steps(tmp_path: Path) -> None:
    """Two of them beside the training come to the weights that it comes to alone."""
    few = CorpusSettings(num_scenes=4, scene_size=128)
    alone = train_segmenter(tmp_path / "a", tmp_path / "a.safetensors", settings=SMALL, corpus=few)
    shared = train_segmenter(tmp_path / "b", tmp_path / "b.safetensors", settings=SMALL, corpus=few, workers=2)

    assert alone is not None
    assert shared is not None
    expected = alone.state_dict()
    assert all(torch.equal(value, expected[name]) for name, value in shared.state_dict().items())


def test_settings_that_made_the_weights_are_in_a_file() -> None:
    """The card states them, and what the file leaves out has its default."""
    stated = read_settings(SegmenterPretraining, Path(segmenter.__file__).parent / "segmenter.yaml", None)
    card = (BUNDLED.parent / "README.md").read_text()

    assert stated.training.naming == SegmenterTraining().naming
    assert f"{stated.training.steps} steps of {stated.training.batch_size} windows" in card
    assert f"{stated.corpus.num_scenes} of {stated.corpus.scene_size}x{stated.corpus.scene_size} pixels" in card


def test_a_wrong_field_in_the_settings_is_named(tmp_path: Path) -> None:
    """With the file, what is wrong with it, and no traceback."""
    (tmp_path / "settings.yaml").write_text("training: {stepps: 3, smallest_window: 200, flawless_share: 2}\n")

    with pytest.raises(InputError, match=r"settings\.yaml: training\.smallest_window.*flawless_share.*stepps"):
        read_settings(SegmenterPretraining, tmp_path / "settings.yaml", None)


def test_training_can_go_on_from_the_weights_that_ship(corpus: Corpus) -> None:
    """Before its first step it is the detector that ships; otherwise it is not."""
    shipped: Fpn = FpnSettings(steps=1).build()
    shipped.initialise(torch_generator(0))

    def begun(*, bundled_start: bool) -> dict[str, torch.Tensor]:
        settings = SMALL.model_copy(update={"bundled_start": bundled_start})
        return SegmenterTrainer(corpus, settings).detector.state_dict()

    expected = shipped.state_dict()
    assert all(torch.equal(value, expected[name]) for name, value in begun(bundled_start=True).items())
    assert not all(torch.equal(value, expected[name]) for name, value in begun(bundled_start=False).items())


def test_the_weights_that_ship_find_drawn_defects(corpus: Corpus) -> None:
    """On scenes that they have not seen, far better than random weights: this is what a detector starts with."""
    windows = window_batch(corpus, numpy_generator(1), SegmenterTraining(batch_size=64, flawless_share=0))
    images, masks = windows.images, windows.masks

    def separation(*, pretrained: bool) -> float:
        detector: Fpn = FpnSettings(pretrained=pretrained, steps=1).build()
        detector.initialise(torch_generator(0))
        with torch.no_grad():
            maps = detector.eval().anomaly_map(images)
        return float(maps[masks > 0].mean() - maps[masks == 0].mean())

    assert separation(pretrained=True) > 0.2
    assert np.abs(separation(pretrained=False)) < 0.1
