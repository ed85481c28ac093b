"""The training of a base model: crops and captions, resuming, settings, and where it starts from."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import DiffusionPipeline
from PIL import Image

import anogen_core
from anogen_core.errors import InputError, TrainingError
from anogen_core.pretraining.autoencoder import AutoencoderTraining
from anogen_core.pretraining.captions import STAND_IN, CaptionWriter
from anogen_core.pretraining.corpus import CorpusSettings, render_corpus
from anogen_core.pretraining.crops import CORPUS_MATERIALS, CropBatch, Crops
from anogen_core.pretraining.denoiser import DenoiserTrainer, DenoiserTraining
from anogen_core.pretraining.looks import LOOKS, describe_looks
from anogen_core.pretraining.loop import learning_rate_factor, run_training
from anogen_core.pretraining.networks import (
    NetworkSettings,
    build_autoencoder,
    build_denoiser,
    tokenize,
)
from anogen_core.pretraining.painting import choose_places
from anogen_core.pretraining.pretrain import Place, PretrainingSettings, pretrain
from anogen_core.pretraining.train import train
from anogen_core.pretraining.vocabulary import build_tokenizer, known_words
from anogen_core.pretraining.warm_start import load_weights
from anogen_core.procedural.scene import DEFECTS
from anogen_core.seeding import torch_generator

BUNDLED = Path(anogen_core.__file__).parent / "diffusion" / "bundled"

TINY = PretrainingSettings(
    networks=NetworkSettings(encoder_width=8, decoder_width=8, unet_channels=(32, 32), text_width=32),
    corpus=CorpusSettings(num_scenes=6, scene_size=96),
    autoencoder=AutoencoderTraining(steps=2, batch_size=2),
    denoiser=DenoiserTraining(steps=3, batch_size=2),
)


@pytest.fixture
def tiny_crops(tmp_path: Path) -> Crops:
    return Crops(render_corpus(tmp_path / "corpus", TINY.corpus), torch.device("cpu"))


def tiny_trainer(crops: Crops) -> DenoiserTrainer:
    tokenizer = build_tokenizer(known_words())
    torch.manual_seed(0)
    autoencoder = build_autoencoder(TINY.networks).requires_grad_(requires_grad=False)
    return DenoiserTrainer(build_denoiser(TINY.networks, tokenizer), tokenizer, autoencoder, crops, TINY.denoiser)


def test_interrupted_training_ends_with_the_weights_of_an_undisturbed_one(tiny_crops: Crops, tmp_path: Path) -> None:
    """Stopping between two steps and starting again in a new process state changes no bit of the averaged weights."""
    undisturbed = tiny_trainer(tiny_crops)
    run_training(undisturbed, tmp_path / "undisturbed", steps=3)
    run_training(tiny_trainer(tiny_crops), tmp_path / "stopped", steps=2)
    torch.manual_seed(123)
    resumed = tiny_trainer(tiny_crops)

    assert run_training(resumed, tmp_path / "stopped", steps=3) == 3

    expected, found = undisturbed.averaged.state_dict(), resumed.averaged.state_dict()
    assert all(torch.equal(expected[name], found[name]) for name in expected)


def test_a_checkpoint_of_another_training_is_told(tiny_crops: Crops, tmp_path: Path) -> None:
    """A file that lacks what this version stores is named, with what to do, and stays as it is."""
    checkpoint = tmp_path / "denoiser.pt"
    torch.save({"step": 1, "trainer": {"denoiser": {}}}, checkpoint)
    before = checkpoint.read_bytes()

    with pytest.raises(InputError, match=r"denoiser\.pt: is the checkpoint of a training with other settings"):
        run_training(tiny_trainer(tiny_crops), tmp_path, steps=3)

    assert checkpoint.read_bytes() == before


def test_pretraining_writes_a_pipeline_that_loads(tmp_path: Path) -> None:
    """The script's whole path, tiny: scenes, autoencoder, denoiser, a directory that diffusers reads."""
    directory = pretrain(TINY, Place(work=tmp_path / "work", out=tmp_path / "model", device=torch.device("cpu")))

    pipeline = DiffusionPipeline.from_pretrained(directory, local_files_only=True)
    assert pipeline.unet.config.block_out_channels == [32, 32]
    assert {path.name for path in (tmp_path / "work").glob("*.png")} == {"painted.png"}


def test_training_stops_at_a_loss_that_is_not_a_number(tmp_path: Path) -> None:
    """A broken run says so instead of writing a broken model."""

    class Broken:
        name = "broken"

        def train_step(self, step: int) -> torch.Tensor:
            return torch.tensor(float("nan") if step == 1 else 0.5)

        def state_dict(self) -> dict[str, Any]:
            return {}

        def load_state_dict(self, state: dict[str, Any]) -> None:
            del state

    with pytest.raises(TrainingError, match="loss is nan at step 2"):
        run_training(Broken(), tmp_path, steps=3)
    assert not (tmp_path / "broken.pt").exists()


def test_crops_depend_on_the_generator_alone(tiny_crops: Crops) -> None:
    """Equal seeds give equal crops, another seed gives others; values stay in [-1, 1]."""
    first, again, other = (tiny_crops.draw(torch_generator(seed), count=5, size=32) for seed in (1, 1, 2))

    assert torch.equal(first.images, again.images)
    assert torch.equal(first.looks, again.looks)
    assert not torch.equal(first.images, other.images)
    assert first.images.shape == (5, 3, 32, 32)
    assert first.masks.shape == (5, 1, 32, 32)
    assert first.images.abs().max() <= 1


def test_crops_of_damaged_photos_differ_from_flawless_ones_where_the_mask_says_so(tiny_crops: Crops) -> None:
    """Window, symmetry and light are the same for a crop, its flawless twin and its mask."""
    crops = tiny_crops.draw(torch_generator(0), count=64, size=64)
    change = (crops.images - crops.flawless).abs().mean(1, keepdim=True)
    damaged = crops.defects >= 0

    assert 0.3 < damaged.float().mean() < 1
    inside, outside = change[crops.masks > 0.9].mean(), change[crops.masks == 0].mean()
    assert inside > 8 * outside
    assert (crops.filled - crops.flawless)[crops.masks.expand_as(crops.filled) == 0].abs().mean() < inside / 8


def test_looks_are_measured_on_the_picture() -> None:
    """A dark line, a white blot on the whole, a red spot, and a region without surroundings."""
    images, masks = torch.full((4, 3, 32, 32), 0.5), torch.zeros(4, 1, 32, 32)
    masks[0, :, 16, 4:28] = 1
    images[0, :, 16, 4:28] = 0.4
    masks[1, :, 2:28, 2:28] = 1
    images[1, :, 2:28, 2:28] = 1.0
    masks[2, :, 10:14, 10:20] = 1
    images[2, 0, 10:14, 10:20] = 0.6
    masks[3] = 1

    told = [[LOOKS[word] for word in row if word >= 0] for row in describe_looks(images, masks).tolist()]

    assert told == [["dark", "thin", "small"], ["white", "round", "large"], ["long", "small", "red"], []]


def crops_that_show(count: int, *, defect: str | None) -> CropBatch:
    blank, word = torch.zeros(count, 3, 8, 8), -1 if defect is None else DEFECTS.index(defect)
    looks = torch.full((count, 4), -1)
    looks[:, 0] = LOOKS.index("dark")
    return CropBatch(
        scenes=torch.zeros(count, dtype=torch.long),
        images=blank,
        flawless=blank,
        filled=blank,
        masks=blank[:, :1],
        materials=torch.full((count,), CORPUS_MATERIALS.index("wood")),
        defects=torch.full((count,), word),
        looks=looks if defect else torch.full_like(looks, -1),
    )


def captions_of(crops: CropBatch, *, exemplar: bool = False) -> list[str]:
    tokenizer = build_tokenizer(known_words())
    writer = CaptionWriter(tokenizer, torch.device("cpu"))
    chosen = torch.full((len(crops.defects),), exemplar)
    rows = writer.write(crops, torch_generator(0), exemplar=chosen)
    # Each caption is what the tokenizer makes of its text, begun, ended and padded alike.
    texts = [tokenizer.decode(row, skip_special_tokens=True).strip() for row in rows]
    if not exemplar:
        assert torch.equal(rows, tokenize(tokenizer, texts))
    assert ((rows == STAND_IN).sum(1) == (1 if exemplar else 0)).all()
    return texts


def test_the_empty_caption_means_flawless_and_most_captions_name_the_defect_alone() -> None:
    """Generation prompts with the defect alone and guides away from the empty prompt, which stands for no defect."""
    captions = captions_of(crops_that_show(2000, defect="missing part"))
    flawless = captions_of(crops_that_show(2000, defect=None))

    assert not captions.count("")
    assert 0.5 < flawless.count("") / 2000 < 0.7
    assert sum("missing part" in caption and "wood" not in caption for caption in captions) / 2000 > 0.3
    assert 0.6 < sum("dark missing part" in c or "dark defect" in c for c in captions) * 4 / 3 / 2000 < 1
    assert {"wood with a dark missing part", "a photo of a missing part", "flaw"} <= set(captions)
    assert not any("missing part" in caption for caption in flawless)


def test_an_exemplar_stands_where_the_defect_would_be_named() -> None:
    """One stand-in takes the place of looks and name, with the material as without."""
    captions = captions_of(crops_that_show(500, defect="missing part"), exemplar=True)

    assert not any("missing" in caption or "defect" in caption for caption in captions)
    assert any("wood" in caption for caption in captions)


def test_places_to_paint_cover_the_defect() -> None:
    """Boxes and outlines hold every cell of the defect; a flawless crop has places too; some are the whole canvas."""
    defects = torch.zeros(300, 1, 16, 16)
    defects[:200, :, 4:7, 5:11] = 1

    places = choose_places(defects, torch_generator(0))

    assert (places[:200] >= defects[:200]).all()
    shares = places.mean((1, 2, 3))
    assert (shares > 0).all()
    assert 0.01 < (shares == 1).float().mean() < 0.2
    outlines = (places[:200] == defects[:200]).flatten(1).all(1).float().mean()
    assert 0.15 < outlines < 0.5


def test_learning_rate_warms_up_and_decays() -> None:
    """The rate starts low, reaches its peak early and ends at a twentieth."""
    factors = [learning_rate_factor(step, 1000) for step in range(1001)]

    assert factors[0] <= 0.01
    assert max(factors) > 0.85
    assert factors[-1] == pytest.approx(0.05)


def test_photos_of_a_user_join_the_corpus(tmp_path: Path) -> None:
    """Squares of the photos follow the rendered scenes; rendered defects change pixels in their masks alone, mostly."""
    photo = np.random.default_rng(0).integers(90, 110, (80, 120, 3), dtype=np.uint8)
    (tmp_path / "photos").mkdir()
    Image.fromarray(photo).save(tmp_path / "photos" / "good.png")
    settings = CorpusSettings(num_scenes=2, num_photo_scenes=12, scene_size=64, photos=str(tmp_path / "photos"))

    corpus = render_corpus(tmp_path / "work", settings)

    assert len(corpus.images) == 14
    assert corpus.materials[2:] == ["surface"] * 12
    flawless = [i for i in range(2, 14) if not corpus.masks[i].any()]
    assert 0 < len(flawless) < 12
    assert all(80 < corpus.images[i].mean() < 120 for i in flawless)


def test_a_directory_without_photos_is_told(tmp_path: Path) -> None:
    """A wrong path is an error before hours of training."""
    with pytest.raises(InputError, match="holds no photo"):
        render_corpus(tmp_path / "work", CorpusSettings(num_scenes=1, scene_size=64, photos=str(tmp_path)))


def test_wrong_settings_are_told_by_field(tmp_path: Path) -> None:
    """A mistyped field of the settings file is named."""
    (tmp_path / "settings.yaml").write_text("denoiser: {stepss: 3}\n")

    with pytest.raises(InputError, match=r"denoiser\.stepss"):
        train(tmp_path / "work", tmp_path / "out", settings=tmp_path / "settings.yaml")


def test_warm_start_begins_with_the_weights_of_the_shipped_model() -> None:
    """Every weight of UNet and text encoder is the shipped one."""
    denoiser = build_denoiser(NetworkSettings(), build_tokenizer(known_words()))

    load_weights(BUNDLED, denoiser)

    shipped = DiffusionPipeline.from_pretrained(BUNDLED, local_files_only=True)
    for loaded, expected in ((denoiser.unet, shipped.unet), (denoiser.text_encoder, shipped.text_encoder)):
        weights = loaded.state_dict()
        assert all(torch.equal(weights[name], value) for name, value in expected.state_dict().items())


def test_a_start_of_other_sizes_is_told() -> None:
    """A model of an earlier version is refused with both sizes instead of PyTorch's list of tensors."""
    smaller = build_denoiser(NetworkSettings(unet_channels=(64, 128, 192)), build_tokenizer(known_words()))

    with pytest.raises(InputError, match=r"\[64, 160, 256\] and text_width 128, where \[64, 128, 192\]"):
        load_weights(BUNDLED, smaller)
