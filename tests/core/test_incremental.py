"""Only what a change touches is made again: every step of model work is counted."""

import copy
import json
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from anogen_core.config import RunConfig, parse_config
from anogen_core.errors import InputError
from anogen_core.evaluation import CheckpointRef, Trial
from anogen_core.generation import generate
from anogen_core.masks.product import Product
from anogen_core.records import ConceptEmbedding, DatasetRef, Decision, ReviewVerdict
from anogen_core.shards import Shard
from anogen_core.stages import arms, detection, embedding, generation, recipe, runtime, shard_work
from anogen_core.stages.catalogue import read_category
from anogen_core.stages.forecast import forecast
from anogen_core.stages.verdicts import CarriedVerdicts, carry_verdicts
from anogen_core.storage import Dataset, verify
from anogen_core.storage.verdicts import VerdictWriter

Configure = Callable[..., RunConfig]


@dataclass
class Done:
    """What a run returned, and the steps of model work that it took: by defect, shard number and arm."""

    embeddings: dict[str, ConceptEmbedding]
    dataset: DatasetRef
    checkpoints: dict[str, CheckpointRef]
    learned: Counter[str] = field(default_factory=Counter)
    generated: Counter[int] = field(default_factory=Counter)
    trained: Counter[str] = field(default_factory=Counter)

    @property
    def idle(self) -> bool:
        """Return whether everything was found finished."""
        return not (self.learned or self.generated or self.trained)


def run(config: RunConfig, category: str = "bolt") -> Done:
    """Do what the flow of one category does, in its order."""
    learned, generated, trained = Counter[str](), Counter[int](), Counter[str]()

    def count(counter: Counter[str], key: str, *_: object) -> None:
        counter[key] += 1

    def tick(shard: Shard) -> None:
        generated[shard.index] += 1

    supports = read_category(config, category).supports
    found = embedding.learn(
        supports, config, on_step=lambda name, *_: count(learned, name.removeprefix(f"{category}/"))
    )
    embeddings = {one.defect: one for one in found}
    planned, shards = generation.plan_dataset(config, category, list(embeddings.values()))
    for shard in shards:
        generation.make_shard(shard, planned, config, on_image=partial(tick, shard))
    dataset = generation.seal_dataset(planned)
    checkpoints: dict[str, CheckpointRef] = {
        t.arm: detection.train(config, category, t, dataset, on_step=partial(count, trained, t.arm))
        for t in (Trial(arm="perlin", seed=config.seed), Trial(arm="generated", seed=config.seed))
    }
    return Done(embeddings, dataset, checkpoints, learned, generated, trained)


@pytest.fixture(scope="module")
def configure(small_run: dict[str, object], tmp_path_factory: pytest.TempPathFactory) -> Configure:
    """Return the settings of a run, all with one output, with some fields changed."""
    output = tmp_path_factory.mktemp("incremental")

    def make(**changes: Any) -> RunConfig:
        values: dict[str, Any] = {**copy.deepcopy(small_run), "output": str(output)}
        return parse_config(values | changes, source="test")

    return make


@pytest.fixture(scope="module")
def first(configure: Configure) -> Done:
    """The first run: everything is made."""
    done = run(configure())
    assert set(done.learned) == {"cut", "spot"}
    assert done.generated.total() == 10
    assert set(done.trained) == {"perlin", "generated"}
    return done


def test_an_unchanged_configuration_does_no_model_work(configure: Configure, first: Done) -> None:
    """Nothing is learned, generated or trained, the base model is not even loaded, and the results are the same."""
    runtime._load.cache_clear()

    again = run(configure(name="another-name", runner={"kind": "threads", "workers": 3}))

    assert again.idle
    assert runtime._load.cache_info().misses == 0
    assert (again.embeddings, again.dataset, again.checkpoints) == (first.embeddings, first.dataset, first.checkpoints)


def test_the_plan_tells_what_is_there_already(configure: Configure, first: Done, tmp_path: Path) -> None:
    """What is complete costs no time; other images keep the embeddings; another output has nothing."""
    runtime._load.cache_clear()
    only = {"support": {"defects": ["bolt/cut", "bolt/spot"]}}

    done, more, elsewhere = (
        forecast(configure(**only, **changes)) for changes in ({}, {"seed": 1}, {"output": str(tmp_path)})
    )

    name = Path(first.dataset.uri).stem
    plans = [plan.categories[0] for plan in (done, more, elsewhere)]
    assert [plan.complete for plan in plans] == [name, None, None]
    assert [{d.embedding for d in plan.defects} for plan in plans] == [
        {"learned"},
        {"to be learned"},
        {"to be learned"},
    ]
    assert (done.generation_seconds, done.inversion_seconds, done.storage_mb) == (0, 0, 0)
    assert elsewhere.generation_seconds > 0
    assert f"dataset {name} is complete" in done.describe()
    assert done.describe().splitlines()[-1].startswith("nothing to learn or to generate")
    assert "its dataset is to be made" in elsewhere.describe()
    assert not (tmp_path / "datasets").exists()


def test_pasted_defects_need_the_plan_alone(configure: Configure, first: Done, tmp_path: Path) -> None:
    """Where no gate replaces images they are those at the dataset's places; a dataset that is there is found."""
    config = configure()
    category = read_category(config, "bolt")
    elsewhere = config.model_copy(update={"output": str(tmp_path)})

    planned = arms.training_set(elsewhere, category, "cutpaste", None)

    assert planned.digest() == arms.training_set(config, category, "cutpaste", first.dataset).digest()
    assert not list(tmp_path.iterdir())
    assert generation.find_dataset(elsewhere, "bolt") is None
    found = generation.find_dataset(config, "bolt")
    assert found is not None
    assert found[1] == first.dataset
    trial = Trial(arm="cutpaste", seed=0)
    keys = {
        detection.checkpoint_key(c, read_category(c, "bolt"), trial, None)
        for c in (elsewhere, config, configure(seed=1), configure(frame={"size": [96, 96]}))
    }
    assert len(keys) == 3


def test_another_support_set_of_one_defect_makes_that_defect_alone(
    configure: Configure, first: Done, tmp_path: Path
) -> None:
    """The other defect keeps its embedding and its images, byte for byte those of a run that makes everything."""
    chosen = {s.defect: {p.sample_id for p in s.samples} for s in read_category(configure(), "bolt").supports}
    other = [f"bolt/test/cut/{i:03}" for i in range(5) if f"bolt/test/cut/{i:03}" not in chosen["cut"]]

    changed = run(configure(support={"images": {"bolt/cut": [*other, min(chosen["cut"])]}}))
    fresh = run(configure(support={"images": {"bolt/cut": [*other, min(chosen["cut"])]}}, output=str(tmp_path)))

    assert set(changed.learned) == {"cut"}
    assert changed.embeddings["spot"] == first.embeddings["spot"]
    assert (changed.generated.total(), fresh.generated.total()) == (5, 10)
    assert changed.dataset.uri != first.dataset.uri
    assert _objects(changed.dataset) == _objects(fresh.dataset)


def test_photos_that_cannot_be_read_stop_no_other_defect(configure: Configure, tmp_path: Path) -> None:
    """Of a group the others are learned and stored; the error is that of the photo."""
    config = configure(output=str(tmp_path))
    cut, spot = read_category(config, "bolt").supports
    other = cut.samples[0].model_copy(update={"sha256": "0" * 64})

    with pytest.raises(InputError, match=other.image_uri):
        embedding.learn([cut.model_copy(update={"samples": (other,)}), spot], config)

    assert embedding.is_learned(spot, config)
    assert not embedding.is_learned(cut, config)
    assert [s for s in embedding.unlearned(config) if s.category == "bolt"] == [cut]


def test_the_other_category_is_not_touched(configure: Configure, first: Done) -> None:
    """Settings of one category's defect do not make the other category's work anew."""
    del first
    felt = run(configure(), "felt")

    again = run(configure(support={"images": {"bolt/cut": ["bolt/test/cut/000"]}}), "felt")

    assert again.idle
    assert again.dataset == felt.dataset


def test_another_guidance_scale_generates_anew_and_learns_nothing(configure: Configure, first: Done) -> None:
    """Embeddings stay, all images are made again, and so is the one detector that learned from them."""
    generation_settings = configure().generation.model_dump(mode="json")
    generation_settings["sampler"]["guidance_scale"] = 2.5

    changed = run(configure(generation=generation_settings))

    assert not changed.learned
    assert changed.embeddings == first.embeddings
    assert changed.generated.total() == 10
    assert set(changed.trained) == {"generated"}


def test_a_defect_that_the_product_does_not_fit_has_another_recipe_alone(configure: Configure, first: Done) -> None:
    """Where it may lie changes, and for the others nothing does."""
    config, embeddings = configure(), list(first.embeddings.values())
    category = read_category(config, "bolt")
    found = Product(settings=config.foreground.model_copy(update={"method": "otsu"}))
    loose = found.model_copy(update={"misses": {"spot": "misses 3 of 3 support photos of spot"}})

    before, after = (recipe.recipes(config, category, product, embeddings) for product in (found, loose))

    assert before.keys() == after.keys() == {"cut", "spot"}
    assert before["cut"] == after["cut"]
    assert before["spot"] != after["spot"]


@pytest.mark.parametrize(
    ("module", "constant", "learned", "generated", "trained"),
    [
        (embedding, "INVERSION_VERSION", {"cut", "spot"}, None, None),
        (recipe, "GENERATION_VERSION", set(), 10, {"generated"}),
        (recipe, "PLANNING_VERSION", set(), 10, {"generated"}),
        (detection, "DETECTOR_VERSION", set(), 0, {"perlin", "generated"}),
    ],
)
def test_another_version_of_a_step_makes_that_step_anew(
    configure: Configure,
    first: Done,
    monkeypatch: pytest.MonkeyPatch,
    module: Any,
    constant: str,
    learned: set[str],
    generated: int | None,
    trained: set[str] | None,
) -> None:
    """What comes after follows only as far as its input has changed: learning anew gives the same embeddings here."""
    monkeypatch.setattr(module, constant, getattr(module, constant) + 1000)

    changed = run(configure())

    assert set(changed.learned) == learned
    assert changed.generated.total() == (generated or 0)
    assert set(changed.trained) == (trained or set())
    assert {d: e.digest for d, e in changed.embeddings.items()} == {d: e.digest for d, e in first.embeddings.items()}


def test_two_runs_at_the_same_time_make_one_sound_dataset(configure: Configure, first: Done, tmp_path: Path) -> None:
    """Two processes with one output: both end with the digest of an undisturbed run, and nothing is there twice."""
    settings = json.dumps(configure().model_dump(mode="json") | {"output": str(tmp_path)})
    command = [sys.executable, __file__, settings]
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) for _ in range(2)]
    said = [process.communicate(timeout=280) for process in both]

    assert [process.returncode for process in both] == [0, 0], said
    assert [out.decode() for out, _ in said] == [first.dataset.digest] * 2
    (dataset,) = (tmp_path / "datasets").iterdir()
    assert verify(str(dataset)) == []
    names = [row.request_id for row in Dataset(str(dataset)).ledger()]
    assert len(names) == len(set(names)) == 10
    assert len(list((tmp_path / "artifacts").glob("embedding-*"))) == 2
    assert len(list((tmp_path / "artifacts").glob("detector-*"))) == 2


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """Return a counter of the images that the base model makes, by the side of the real generation."""
    counter = Counter[str]()

    def count(jobs: Any, *rest: Any, **options: Any) -> list[Any]:
        counter["images"] += len(jobs)
        return generate(jobs, *rest, **options)

    monkeypatch.setattr(shard_work, "generate", count)
    return counter


def _dataset(config: RunConfig, *, shards_made: int | None = None) -> DatasetRef | None:
    """Learn, plan, make shards and seal; with `shards_made` the run is cut off after so many."""
    embeddings = embedding.learn(read_category(config, "bolt").supports, config)
    planned, shards = generation.plan_dataset(config, "bolt", embeddings)
    for shard in shards[:shards_made]:
        generation.make_shard(shard, planned, config)
    return generation.seal_dataset(planned) if shards_made is None else None


@pytest.fixture
def images_of(configure: Configure, tmp_path: Path) -> Callable[..., RunConfig]:
    """Return the settings of a run with some images of each defect, in a folder of its own for each name."""
    given = configure().generation.model_dump(mode="json")

    def make(count: int, folder: str, **changes: Any) -> RunConfig:
        return configure(generation={**given, "images_per_defect": count}, output=str(tmp_path / folder), **changes)

    return make


@pytest.mark.parametrize(
    ("defects", "quality"),
    [
        (["bolt/cut", "bolt/spot"], {"gates": False}),
        (["bolt/cut"], {"slack": 0, "min_contrast": 0.9, "replacements": 1}),
    ],
)
def test_more_images_of_a_defect_make_the_new_ones_alone(
    images_of: Callable[..., RunConfig], made: Counter[str], defects: list[str], quality: dict[str, Any]
) -> None:
    """9 after 6 are byte for byte the 9 of a run that makes all, with what gates filtered and put in its place."""
    changes: dict[str, Any] = {"support": {"defects": defects}, "quality": quality}

    _dataset(images_of(6, "grown", **changes))
    made_first = made.total()
    grown = _dataset(images_of(9, "grown", **changes))
    made_then = made.total() - made_first
    fresh = _dataset(images_of(9, "fresh", **changes))

    assert grown is not None
    assert fresh is not None
    replaced = [row for row in Dataset(fresh.uri).ledger() if row.replaces is not None]
    assert bool(replaced) == ("replacements" in quality)
    assert made_first == 6 * len(defects) + sum(int(row.request_id.split("-")[1]) < 6 for row in replaced)
    assert made_first + made_then == 9 * len(defects) + len(replaced)
    assert _objects(grown) == _objects(fresh)


def test_a_complete_dataset_takes_no_plan(configure: Configure, first: Done) -> None:
    """It is known by its name alone: planning thousands of images takes minutes."""
    planned, shards = generation.plan_dataset(configure(), "bolt", list(first.embeddings.values()))

    assert generation.find_sealed(planned) == first.dataset
    assert shards == []


def test_fewer_images_of_photos_that_moved_make_nothing(
    images_of: Callable[..., RunConfig], made: Counter[str], small_run: dict[str, Any], tmp_path: Path
) -> None:
    """Also in shards of another size; the ledger says where the photos are today."""
    root = shutil.copytree(small_run["reader"]["root"], tmp_path / "photos")
    settings: dict[str, Any] = {"reader": {"kind": "mvtec", "root": str(root)}, "storage": {"shard_size": 3}}

    _dataset(images_of(5, "shrunk"))
    made.clear()
    shrunk = _dataset(images_of(2, "shrunk", **settings))
    assert not made
    fresh = _dataset(images_of(2, "fresh", **settings))

    assert shrunk is not None
    assert fresh is not None
    assert _objects(shrunk) == _objects(fresh)
    assert all(Path(row.normal_uri).is_relative_to(root) for row in Dataset(shrunk.uri).ledger())


def test_another_defect_leaves_the_images_of_the_first(images_of: Callable[..., RunConfig], made: Counter[str]) -> None:
    """Its own images are made, though those of the first lie in other shards; `check` tells what is there."""
    alone = {"support": {"defects": ["bolt/spot"]}}
    both = {"support": {"defects": ["bolt/cut", "bolt/spot"]}}

    _dataset(images_of(3, "grown", **alone))
    before = forecast(images_of(3, "grown", **both))
    made.clear()
    grown = _dataset(images_of(3, "grown", **both))
    assert made.total() == 3
    fresh = _dataset(images_of(3, "fresh", **both))

    assert grown is not None
    assert fresh is not None
    assert _objects(grown) == _objects(fresh)
    assert [plan.kept for plan in before.categories] == [3]
    assert "its dataset is to be made, 3 of its images are there already" in before.describe()


def test_images_of_a_run_that_was_cut_off_are_reused(images_of: Callable[..., RunConfig], made: Counter[str]) -> None:
    """A run that goes on with another number of images takes what the first one stored, and the same run all of it."""
    _dataset(images_of(6, "grown"), shards_made=2)
    made.clear()
    grown = _dataset(images_of(3, "grown"))
    assert made.total() == 6 - 3 - 2  # requests 0 to 5 of the first defect and 0 and 1 of the second are there
    fresh = _dataset(images_of(3, "fresh"))

    assert grown is not None
    assert fresh is not None
    assert _objects(grown) == _objects(fresh)


def test_renamed_normal_photos_are_planned_anew(
    configure: Configure, first: Done, small_run: dict[str, Any], tmp_path: Path
) -> None:
    """Which request a photo gets follows the order of their names, so no image is taken for one of another photo."""
    root = shutil.copytree(small_run["reader"]["root"], tmp_path / "photos")
    photo = min((root / "bolt" / "train" / "good").iterdir())
    photo.rename(photo.with_stem("zzz"))
    config = configure(reader={"kind": "mvtec", "root": str(root)})

    planned, shards = generation.plan_dataset(config, "bolt", list(first.embeddings.values()))

    assert planned.uri != first.dataset.uri
    assert not any(shard.kept for shard in shards)


@pytest.mark.parametrize("lost", ["image/c/0/0/0/0", "samples.parquet", "manifest.json"])
def test_images_that_are_damaged_are_made_again(
    images_of: Callable[..., RunConfig], made: Counter[str], caplog: pytest.LogCaptureFixture, lost: str
) -> None:
    """The log says why, and the dataset is that of a run that makes all."""
    small = _dataset(images_of(2, "grown"))
    assert small is not None
    stored = Path(small.uri) / lost
    stored.write_bytes(stored.read_bytes()[:-9] + b"otherwise")
    made.clear()

    grown = _dataset(images_of(3, "grown"))
    assert made.total() == 6
    fresh = _dataset(images_of(3, "fresh"))

    assert grown is not None
    assert fresh is not None
    assert _objects(grown) == _objects(fresh)
    assert "made again" in caplog.text


def test_verdicts_follow_their_images(configure: Configure, first: Done, tmp_path: Path) -> None:
    """To a larger dataset and, taken back there, home again; not to other images of the same requests."""
    shutil.copytree(configure().output, tmp_path / "out")
    small = Dataset(f"{tmp_path}/out/datasets/{Path(first.dataset.uri).name}")
    given = configure().generation.model_dump(mode="json")

    def make(**changes: Any) -> DatasetRef:
        config = configure(output=str(tmp_path / "out"), generation={**given, **changes})
        embeddings = embedding.learn(read_category(config, "bolt").supports, config)
        planned, shards = generation.plan_dataset(config, "bolt", embeddings)
        for shard in shards:
            generation.make_shard(shard, planned, config)
        return generation.seal_dataset(planned)

    def say(dataset: DatasetRef, request: str, decision: Decision) -> None:
        verdict = ReviewVerdict(request_id=request, decision=decision, who="ada", when=datetime.now(UTC))
        VerdictWriter(dataset.uri, dataset.digest).add(verdict)

    def decisions(dataset: DatasetRef) -> dict[str, Decision]:
        stored = Dataset(dataset.uri)
        names = {row.row: row.request_id for row in stored.made()}
        return {names[row]: verdict.decision for row, verdict in stored.verdicts().items()}

    one, two, *_, last = (row.request_id for row in small.made())
    said = {one: Decision.REJECT, two: Decision.FIX, last: Decision.ACCEPT}
    for request, decision in said.items():
        say(small.ref(), request, decision)

    large, fewer = make(images_per_defect=6), make(images_per_defect=4)
    other = make(sampler={**given["sampler"], "guidance_scale": 2.5})

    assert carry_verdicts(large) == [CarriedVerdicts(source=Path(small.uri).stem, carried=3, left=0)]
    assert decisions(large) == said
    assert {found.carried for found in carry_verdicts(large)} == {0}
    assert sum(found.carried for found in carry_verdicts(fewer)) == 2
    assert decisions(fewer) == {one: Decision.REJECT, two: Decision.FIX}
    assert [found.carried for found in carry_verdicts(other)] == [0, 0, 0]
    assert decisions(other) == {}

    say(large, one, Decision.NONE)
    carry_verdicts(small.ref())
    assert decisions(small.ref()) == {two: Decision.FIX, last: Decision.ACCEPT}


def _objects(dataset: DatasetRef) -> dict[str, bytes]:
    """Return every object of a sealed dataset but the manifest, which tells how long shards took."""
    assert verify(dataset.uri) == []
    folder = Path(dataset.uri)
    files = {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}
    return {name: data for name, data in files.items() if name != "manifest.json"}


if __name__ == "__main__":
    done = run(parse_config(json.loads(sys.argv[1]), source="test"))
    sys.stdout.write(done.dataset.digest)


def test_a_corrected_label_is_evaluated_anew(
    configure: Configure, first: Done, small_run: dict[str, Any], tmp_path: Path
) -> None:
    """The detector stays, and what was said of it with the wrong mask is not found again."""
    root = shutil.copytree(small_run["reader"]["root"], tmp_path / "photos")
    config = configure(reader={"kind": "mvtec", "root": str(root)})
    trial, detector = Trial(arm="perlin", seed=config.seed), first.checkpoints["perlin"]
    before = detection.evaluate(trial, detector, config)
    label = next(s.mask_uri for s in read_category(config, "bolt").evaluated[0] if s.mask_uri is not None)
    mask = cv2.imread(label, cv2.IMREAD_GRAYSCALE)
    assert mask is not None
    cv2.imwrite(label, np.maximum(mask, np.rot90(mask, 2)))

    after = detection.evaluate(trial, detector, config)

    assert after.predictions != before.predictions
    assert after.pixel_ap != before.pixel_ap
    assert detection.evaluate(trial, detector, config) == after


@pytest.mark.parametrize(("kept", "what"), [(None, "cannot be read (No such file"), (100, "cannot be decoded")])
def test_a_label_that_is_lost_meanwhile_is_named(
    configure: Configure, first: Done, small_run: dict[str, Any], tmp_path: Path, kept: int | None, what: str
) -> None:
    """A mask that is deleted or cut short after the data was read ends in one error that says which and what to do."""
    root = shutil.copytree(small_run["reader"]["root"], tmp_path / "photos")
    config = configure(reader={"kind": "mvtec", "root": str(root)})
    label = next(s.mask_uri for s in read_category(config, "bolt").evaluated[0] if s.mask_uri is not None)
    content = Path(label).read_bytes()
    Path(label).unlink()
    if kept is not None:
        Path(label).write_bytes(content[:kept])

    with pytest.raises(InputError) as error:
        detection.evaluate(Trial(arm="perlin", seed=config.seed), first.checkpoints["perlin"], config)

    assert str(error.value).startswith(f"{label}: {what}")
    assert str(error.value).endswith(("Check that it exists and that you may read it.", "or remove it.", "PNG."))


def test_equal_detectors_of_two_arms_are_evaluated_apart(configure: Configure, first: Done) -> None:
    """As with an amount that is all there is: no arm is told under the name of another."""
    config, detector = configure(), first.checkpoints["perlin"]
    asked = [Trial.model_validate({"arm": a, "seed": s}) for a, s in (("perlin", 0), ("cutpaste", 0), ("perlin", 1))]

    said = [detection.evaluate(trial, detector, config) for trial in asked]

    assert [(e.arm, e.seed) for e in said] == [(trial.arm, trial.seed) for trial in asked]
    assert len({e.predictions for e in said}) == 3
    assert len({e.pixel_ap for e in said}) == 1


def test_renamed_test_photos_are_evaluated_anew(
    configure: Configure, first: Done, small_run: dict[str, Any], tmp_path: Path
) -> None:
    """Arms are compared on photos of the same names, so those of a detector follow its photos."""
    root = shutil.copytree(small_run["reader"]["root"], tmp_path / "photos")
    photo = min((root / "bolt" / "test" / "good").iterdir())
    photo.rename(photo.with_stem("renamed"))
    trial, detector = Trial(arm="perlin", seed=0), first.checkpoints["perlin"]

    before = detection.evaluate(trial, detector, configure())
    after = detection.evaluate(trial, detector, configure(reader={"kind": "mvtec", "root": str(root)}))

    assert after.predictions != before.predictions
    assert after.pixel_ap == before.pixel_ap
