"""The training of a base model: crops and captions, resuming, settings, and where it starts from."""

import json
import logging
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import DiffusionPipeline
from PIL import Image

import anogen_core
from anogen_core.errors import InputError, TrainingError
from anogen_core.pretraining.autoencoder import AutoencoderTrainer, AutoencoderTraining
from anogen_core.pretraining.captions import STAND_IN, CaptionWriter
from anogen_core.pretraining.checkpoint import Identity
from anogen_core.pretraining.corpus import Corpus, CorpusFiles, CorpusSettings
from anogen_core.pretraining.crops import CORPUS_MATERIALS, CropBatch, Crops
from anogen_core.pretraining.deadline import deadline_in
from anogen_core.pretraining.denoiser import DenoiserTrainer, DenoiserTraining
from anogen_core.pretraining.files import read_settings
from anogen_core.pretraining.looks import LOOKS, describe_looks
from anogen_core.pretraining.loop import learning_rate_factor, run_training
from anogen_core.pretraining.networks import NetworkSettings, build_autoencoder, build_denoiser
from anogen_core.pretraining.painting import choose_places
from anogen_core.pretraining.pretrain import Place, PretrainingSettings, pretrain
from anogen_core.pretraining.train import train
from anogen_core.pretraining.vocabulary import PROMPT_LENGTH, build_tokenizer, known_words
from anogen_core.pretraining.warm_start import load_weights
from anogen_core.procedural.scene import DEFECTS
from anogen_core.seeding import torch_generator

BUNDLED = Path(anogen_core.__file__).parent / "diffusion" / "bundled"

TINY = PretrainingSettings(
    networks=NetworkSettings(encoder_width=8, decoder_width=8, unet_channels=(32, 32), text_width=32),
    corpus=CorpusSettings(num_scenes=6, num_photo_scenes=4, scene_size=128),
    autoencoder=AutoencoderTraining(steps=2, batch_size=2),
    denoiser=DenoiserTraining(steps=3, batch_size=2),
)


def rendered(work: Path, settings: CorpusSettings) -> Corpus:
    files = CorpusFiles(work, settings)
    assert files.render()
    return files.load()


@pytest.fixture
def tiny_crops(tmp_path: Path) -> Crops:
    return Crops(rendered(tmp_path / "corpus", TINY.corpus), torch.device("cpu"))


def tiny_trainer(crops: Crops) -> DenoiserTrainer:
    tokenizer = build_tokenizer(known_words())
    torch.manual_seed(0)
    autoencoder = build_autoencoder(TINY.networks).requires_grad_(requires_grad=False)
    return DenoiserTrainer(build_denoiser(TINY.networks, tokenizer), tokenizer, autoencoder, crops, TINY.denoiser)


def test_interrupted_training_ends_with_the_weights_of_an_undisturbed_one(tiny_crops: Crops, tmp_path: Path) -> None:
    """Stopping between two steps and starting again in a new process state changes no bit of the averaged weights."""
    undisturbed = tiny_trainer(tiny_crops)
    run_training(undisturbed, tmp_path / "undisturbed", identity={}, steps=3)
    run_training(tiny_trainer(tiny_crops), tmp_path / "stopped", identity={}, steps=2)
    torch.manual_seed(123)
    resumed = tiny_trainer(tiny_crops)

    assert run_training(resumed, tmp_path / "stopped", identity={}, steps=3) == 3

    expected, found = undisturbed.averaged.state_dict(), resumed.averaged.state_dict()
    assert all(torch.equal(expected[name], found[name]) for name in expected)


@pytest.mark.parametrize("written", [{"trainer": {"trained": {}}}, {"trainer": {}, "identity": {}}])
def test_a_checkpoint_of_another_version_is_told(tiny_crops: Crops, tmp_path: Path, written: dict[str, Any]) -> None:
    """A file that lacks what this version stores is named, with what to do, and stays as it is."""
    checkpoint = tmp_path / "denoiser.pt"
    torch.save({"step": 1, **written}, checkpoint)
    before = checkpoint.read_bytes()

    with pytest.raises(InputError, match=r"denoiser\.pt: is the checkpoint of another version of AnoGen"):
        run_training(tiny_trainer(tiny_crops), tmp_path, identity={}, steps=3)

    assert checkpoint.read_bytes() == before


@pytest.mark.parametrize("how", ["empty", "cut", "other", "flipped"])
def test_a_damaged_checkpoint_is_told(tiny_crops: Crops, tmp_path: Path, how: str) -> None:
    """It is named, with what to do, and stays as it is; the training does not begin anew over an exported model."""
    run_training(tiny_trainer(tiny_crops), tmp_path, identity={}, steps=1)
    checkpoint = tmp_path / "denoiser.pt"
    whole = checkpoint.read_bytes()
    middle = len(whole) // 2
    flipped = whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :]
    damaged = {"empty": b"", "cut": whole[:middle], "other": b"not a checkpoint", "flipped": flipped}[how]
    checkpoint.write_bytes(damaged)

    with pytest.raises(InputError, match=r"denoiser\.pt: is damaged .*move the file away"):
        run_training(tiny_trainer(tiny_crops), tmp_path, identity={}, steps=3)

    assert checkpoint.read_bytes() == damaged


def place_in(directory: Path, **more: Any) -> Place:
    return Place(work=directory / "work", out=directory / "model", device=torch.device("cpu"), **more)


@pytest.fixture(scope="module")
def tiny_training(tmp_path_factory: pytest.TempPathFactory) -> tuple[PretrainingSettings, Path]:
    """A finished training on two photos: its settings and the directory with `photos`, `work` and `model`."""
    directory = tmp_path_factory.mktemp("training")
    (directory / "photos").mkdir()
    for name in ("a.png", "b.png"):
        write_photo(directory / "photos" / name, seed=0)
    corpus = TINY.corpus.model_copy(update={"photos": str(directory / "photos")})
    settings = TINY.model_copy(update={"corpus": corpus})
    assert pretrain(settings, place_in(directory)) is not None
    return settings, directory


def write_photo(path: Path, *, seed: int) -> None:
    Image.fromarray(np.random.default_rng(seed).integers(90, 110, (140, 160, 3), dtype=np.uint8)).save(path)


def changed(settings: PretrainingSettings, **sections: dict[str, Any]) -> PretrainingSettings:
    values = settings.model_dump()
    return PretrainingSettings.model_validate(values | {name: values[name] | new for name, new in sections.items()})


def test_other_photos_are_another_training(tiny_training: tuple[PretrainingSettings, Path], tmp_path: Path) -> None:
    """Photos replaced under their names are told before anything is rendered; moved ones are the same photos."""
    settings, finished = tiny_training
    directory = tmp_path / "moved"
    shutil.copytree(finished, directory)
    settings = changed(settings, corpus={"photos": str(directory / "photos")})
    before = sorted((directory / "work").iterdir())

    assert pretrain(settings, place_in(directory)) is not None
    write_photo(directory / "photos" / "b.png", seed=1)
    with pytest.raises(InputError, match=r"work: holds checkpoints of another training.* corpus\.photos \("):
        pretrain(settings, place_in(directory))

    assert sorted((directory / "work").iterdir()) == before


def test_what_decides_a_training_stays_when_it_resumes(
    tiny_training: tuple[PretrainingSettings, Path], tmp_path: Path
) -> None:
    """All that differs is in one message with both values; steps and learning rate of the denoiser may change."""
    settings, finished = tiny_training
    directory = tmp_path / "resumed"
    shutil.copytree(finished, directory)
    other = changed(settings, autoencoder={"seed": 9, "steps": 4}, denoiser={"batch_size": 3, "learning_rate": 0.1})

    with pytest.raises(InputError) as told:
        pretrain(other, place_in(directory))
    said = str(told.value)
    assert "differs in autoencoder.seed (0 there, 9 here), denoiser.batch_size (2 there, 3 here)" in said
    assert "autoencoder.steps (2 there, 4 here)" in said
    assert "learning_rate" not in said
    with pytest.raises(InputError, match=r"autoencoder\.steps \(2 there, None here\), start \(None there, \w+ here\)"):
        pretrain(settings, place_in(directory, start=finished / "model"))

    longer = changed(settings, denoiser={"steps": 4, "learning_rate": 0.1})
    assert pretrain(longer, place_in(directory)) is not None
    assert torch.load(directory / "work" / "denoiser.pt")["step"] == 4


def test_a_denoiser_stays_with_its_autoencoder(tiny_training: tuple[PretrainingSettings, Path], tmp_path: Path) -> None:
    """An autoencoder that was trained anew with another rate has other latents: the denoiser does not go on."""
    settings, finished = tiny_training
    directory = tmp_path / "anew"
    shutil.copytree(finished, directory)
    (directory / "work" / "autoencoder.pt").unlink()

    with pytest.raises(InputError, match=r"differs in autoencoder \(\w{16} there, \w{16} here\)\."):
        pretrain(changed(settings, autoencoder={"learning_rate": 0.1}), place_in(directory))


def test_a_stopped_rendering_goes_on(tmp_path: Path) -> None:
    """Scenes that were rendered when the time was up are kept, and all are those of an undisturbed rendering."""
    settings = CorpusSettings(num_scenes=80, scene_size=128)
    undisturbed = rendered(tmp_path / "undisturbed", settings)

    assert not CorpusFiles(tmp_path / "stopped", settings).render(time.monotonic())
    labels = next((tmp_path / "stopped").rglob("scenes.json"))
    kept = json.loads(labels.read_text())["materials"]
    image = np.load(labels.with_name("images.npy"), mmap_mode="r+")
    assert 0 < len(kept) < 80
    assert np.array_equal(image[0], undisturbed.images[0])
    image[0] = 7
    image.flush()
    resumed = rendered(tmp_path / "stopped", settings)

    assert (resumed.images[0] == 7).all()
    assert np.array_equal(resumed.images[1:], undisturbed.images[1:])
    assert np.array_equal(resumed.masks, undisturbed.masks)
    assert (resumed.materials, resumed.defects) == (undisturbed.materials, undisturbed.defects)


@pytest.mark.parametrize(
    ("name", "damage"),
    [
        ("images.npy", lambda whole: whole[: len(whole) // 2]),
        ("images.npy", lambda _: b""),
        ("filled.npy", lambda _: None),
        ("masks.npy", lambda whole: whole[:20] + b"\0'{(" + whole[24:]),
        ("masks.npy", lambda whole: whole.replace(b"(10, 128, 128)", b"(9, 128, 128) ")),
        ("scenes.json", lambda whole: whole[:-9]),
        ("scenes.json", lambda _: b"\xff\xfe"),
        ("scenes.json", lambda _: b"[]"),
        ("scenes.json", lambda whole: whole.replace(b'"defects": [', b'"defects": [null, ')),
    ],
)
def test_a_damaged_corpus_is_rendered_anew(
    tiny_training: tuple[PretrainingSettings, Path],
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    name: str,
    damage: Callable[[bytes], bytes | None],
) -> None:
    """One line names the file; what is rendered then is what was there before."""
    settings, finished = tiny_training
    corpus = CorpusFiles(finished / "work", settings.corpus).load()
    shutil.copytree(finished / "work", tmp_path / "work")
    path = next((tmp_path / "work").rglob(name))
    damaged = damage(path.read_bytes())
    path.unlink()
    if damaged is not None:
        path.write_bytes(damaged)

    again = rendered(tmp_path / "work", settings.corpus)

    for pixels in ("images", "flawless", "filled", "masks"):
        assert np.array_equal(getattr(again, pixels), getattr(corpus, pixels))
    assert (again.materials, again.defects) == (corpus.materials, corpus.defects)
    warned = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert warned == [f"{path}: is damaged or missing; all scenes are rendered anew"]


def test_a_damaged_corpus_that_was_not_complete_is_not_gone_on_with(tmp_path: Path) -> None:
    """Opened for writing, a file that was cut would grow back to its size with black scenes."""
    settings = CorpusSettings(num_scenes=80, scene_size=128)
    assert not CorpusFiles(tmp_path, settings).render(time.monotonic())
    images = next(tmp_path.rglob("images.npy"))
    os.truncate(images, 1000)

    assert not CorpusFiles(tmp_path, settings).render(time.monotonic())

    kept = json.loads(images.with_name("scenes.json").read_text())["materials"]
    assert all(scene.any() for scene in np.load(images, mmap_mode="r")[: len(kept)])


def test_a_training_stopped_anywhere_ends_with_the_weights_of_an_undisturbed_one(
    tiny_training: tuple[PretrainingSettings, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A clock that jumps ends it in rendering, in the autoencoder and in the denoiser, where alone it has exported."""
    settings, finished = tiny_training
    reached, clock, real = [], {"hours": 0.0}, time.monotonic
    monkeypatch.setattr(time, "monotonic", lambda: real() + 3600 * clock["hours"])

    def late(step: Any, at: int) -> Any:
        def taken(self: Any, number: int) -> torch.Tensor:
            loss: torch.Tensor = step(self, number)
            clock["hours"] += number + 1 == at
            return loss

        return taken

    assert pretrain(settings, place_in(tmp_path, deadline=deadline_in(0))) is None
    for trainer, at in ((AutoencoderTrainer, 1), (DenoiserTrainer, 2)):
        with monkeypatch.context() as patch:
            patch.setattr(trainer, "train_step", late(trainer.train_step, at))
            reached.append(pretrain(settings, place_in(tmp_path, deadline=deadline_in(30))))
        assert torch.load(tmp_path / "work" / f"{trainer.name}.pt")["step"] == at
    assert reached == [None, tmp_path / "model"]
    assert pretrain(settings, place_in(tmp_path)) == tmp_path / "model"

    weights = "unet/diffusion_pytorch_model.safetensors"
    assert (tmp_path / "model" / weights).read_bytes() == (finished / "model" / weights).read_bytes()


def test_pretraining_writes_a_pipeline_that_loads(tmp_path: Path) -> None:
    """The script's whole path, tiny: scenes, autoencoder, denoiser, a directory that diffusers reads."""
    directory = pretrain(TINY, place_in(tmp_path))

    pipeline = DiffusionPipeline.from_pretrained(directory, local_files_only=True)
    assert pipeline.unet.config.block_out_channels == [32, 32]
    assert {path.name for path in (tmp_path / "work").glob("*.png")} == {"painted.png"}


class Scripted:
    """A training whose losses are given."""

    name = "scripted"

    def __init__(self, *losses: float) -> None:
        self.losses = losses

    def train_step(self, step: int) -> torch.Tensor:
        return torch.tensor(self.losses[step])

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        del state


def test_training_stops_at_a_loss_that_is_not_a_number(tmp_path: Path) -> None:
    """A broken run says so instead of writing a broken model, and names a checkpoint only if there is one."""
    identity: Identity = {}
    with pytest.raises(TrainingError, match=r"loss is nan at step 2\. Lower its learning rate .* begins anew"):
        run_training(Scripted(0.5, float("nan"), 0.5), tmp_path, identity=identity, steps=3)
    assert not (tmp_path / "scripted.pt").exists()

    run_training(Scripted(0.5), tmp_path, identity=identity, steps=1)
    with pytest.raises(TrainingError, match=r"loss is nan at step 2\. .* goes on from .*scripted\.pt"):
        run_training(Scripted(0.5, float("nan"), 0.5), tmp_path, identity=identity, steps=3)
    assert torch.load(tmp_path / "scripted.pt")["step"] == 1


def test_the_first_checkpoint_comes_after_a_minute(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Then they come every ten minutes, with the time that is left in the log; none is written before a step."""
    clock = [0.0]
    saved: list[int] = []
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])

    class Slow(Scripted):
        def train_step(self, step: int) -> torch.Tensor:
            clock[0] += 30
            return super().train_step(step)

    with caplog.at_level(logging.INFO):
        run_training(
            Slow(*[0.5] * 60), tmp_path, identity={}, steps=60, deadline=deadline_in(25), on_checkpoint=saved.append
        )
    assert saved == [2, 22, 42, 50]
    assert "scripted step 2/60 loss 0.5000, 0.03 steps/s, 24.0 min left" in caplog.messages
    assert "scripted: the time is up at step 50 of 60; running again goes on" in caplog.messages

    run_training(
        Slow(*[0.5] * 60), tmp_path / "none", identity={}, steps=60, deadline=deadline_in(0), on_checkpoint=saved.append
    )
    assert not list((tmp_path / "none").iterdir())
    assert len(saved) == 4


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
        expected = tokenizer(texts, padding="max_length", truncation=True, max_length=PROMPT_LENGTH)
        assert rows.tolist() == expected.input_ids
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
    settings = CorpusSettings(num_scenes=2, num_photo_scenes=12, scene_size=128, photos=str(tmp_path / "photos"))

    corpus = rendered(tmp_path / "work", settings)

    assert len(corpus.images) == 14
    assert corpus.materials[2:] == ["surface"] * 12
    flawless = [i for i in range(2, 14) if not corpus.masks[i].any()]
    assert 0 < len(flawless) < 12
    assert all(80 < corpus.images[i].mean() < 120 for i in flawless)


def test_a_directory_without_photos_is_told(tmp_path: Path) -> None:
    """A wrong path is an error before hours of training."""
    with pytest.raises(InputError, match="holds no photo"):
        CorpusFiles(tmp_path / "work", CorpusSettings(photos=str(tmp_path)))


def test_wrong_settings_are_told_by_field(tmp_path: Path) -> None:
    """A mistyped field of the settings file is named."""
    (tmp_path / "settings.yaml").write_text("denoiser: {stepss: 3}\n")

    with pytest.raises(InputError, match=r"denoiser\.stepss"):
        train(tmp_path / "work", tmp_path / "out", settings=tmp_path / "settings.yaml")


@pytest.mark.parametrize(
    ("field", "found"),
    [
        ("autoencoder.steps", -3),
        ("autoencoder.learning_rate", 0),
        ("corpus.num_scenes", 0),
        ("corpus.scene_size", 127),
        ("denoiser.steps", 0),
        ("denoiser.batch_size", 0),
        ("denoiser.learning_rate", -1),
        ("denoiser.exemplar_share", 7),
        ("networks.text_width", 30),
        ("networks.unet_channels", [64]),
    ],
)
def test_settings_out_of_range_are_told_by_field(tmp_path: Path, field: str, found: object) -> None:
    """Before anything is rendered, with what was found."""
    section, name = field.split(".")
    (tmp_path / "settings.yaml").write_text(json.dumps({section: {name: found}}))

    with pytest.raises(InputError) as told:
        read_settings(PretrainingSettings, tmp_path / "settings.yaml", None)

    assert f"settings.yaml: {field}: " in str(told.value)
    assert f"(found {found})" in str(told.value)


def test_settings_that_made_the_bundled_model_are_settings() -> None:
    """The file that the model card names can be used as it stands."""
    shipped = read_settings(
        PretrainingSettings, Path(anogen_core.__file__).parent / "pretraining" / "bundled.yaml", None
    )

    assert (shipped.corpus.num_scenes, shipped.denoiser.steps) == (20000, 2111)


def test_a_start_is_not_exported_over(tmp_path: Path) -> None:
    """Its weights say which training a checkpoint is of."""
    with pytest.raises(InputError, match="is the starting point"):
        train(tmp_path / "work", BUNDLED, start=BUNDLED)


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
