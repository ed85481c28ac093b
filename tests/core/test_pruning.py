"""What `anogen prune` takes away, and that everything works on without it."""

import copy
import json
import os
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from anogen_core.config import RunConfig, parse_config, stored_config
from anogen_core.errors import AnogenError, InputError, StorageError
from anogen_core.records import DatasetRef, Decision, ReviewVerdict
from anogen_core.stages import detection, embedding, generation, likeness
from anogen_core.stages.catalogue import choose_supports, read_category
from anogen_core.stages.prediction import load_inspector
from anogen_core.stages.pruning import find_removable, prune
from anogen_core.stages.regeneration import regenerate
from anogen_core.stages.reporting import left_out_arms, write_report
from anogen_core.stages.result import CategoryResult, FailedCategory, RunResult, read_result, write_result
from anogen_core.stages.running import MARKS, announced
from anogen_core.stages.verdicts import carry_verdicts
from anogen_core.storage import Dataset, open_store, verify
from anogen_core.storage.artifacts import ArtifactStore
from anogen_core.storage.verdicts import VerdictWriter
from flows.cli.app import app

Configure = Callable[..., RunConfig]

LATER = datetime.now(UTC) + timedelta(days=2)


@pytest.fixture(params=["local", pytest.param("s3", marks=pytest.mark.s3)])
def configure(request: pytest.FixtureRequest, small_run: dict[str, object], tmp_path: Path) -> Configure:
    """Return the settings of a run with some images of each defect, all with one output."""
    local = request.param == "local"
    output = str(tmp_path / "out") if local else f"{request.getfixturevalue('s3_bucket')}/prune-{tmp_path.name}"
    return _configured(small_run, output)


@pytest.fixture
def configure_here(small_run: dict[str, object], tmp_path: Path) -> Configure:
    """The same in a directory."""
    return _configured(small_run, str(tmp_path / "out"))


def _configured(small_run: dict[str, object], output: str) -> Configure:
    def make(images: int) -> RunConfig:
        values: dict[str, Any] = {**copy.deepcopy(small_run), "output": output}
        values["generation"]["images_per_defect"] = images
        values["evaluation"] = {"replicates": 100}
        return parse_config(values, source="test")

    return make


def _generate(config: RunConfig) -> DatasetRef:
    embeddings = embedding.learn(read_category(config, "bolt").supports, config)
    planned, shards = generation.plan_dataset(config, "bolt", embeddings)
    for shard in shards:
        generation.make_shard(shard, planned, config)
    return generation.seal_dataset(planned)


def _run(config: RunConfig, *, trained: bool = True) -> CategoryResult:
    """Do what a run of one category does, in its order."""
    supports = choose_supports(config, "bolt")
    embeddings, (dataset, *redrawn) = embedding.learn(supports, config), [_generate(drawn) for drawn in config.draws]
    carry_verdicts(dataset)
    jobs = detection.jobs(config, "bolt", [dataset, *redrawn]) if trained else []
    checkpoints = [detection.train(config.draws[job.draw], "bolt", job.trial, job.dataset) for job in jobs]
    evaluations = [detection.evaluate(j.trial, made, config) for j, made in zip(jobs, checkpoints, strict=True)]
    made = CategoryResult(
        category="bolt",
        dataset=dataset,
        redrawn=tuple(redrawn),
        embeddings=tuple(embeddings),
        checkpoints=tuple(checkpoints),
        evaluations=tuple(evaluations),
        comparison=detection.compare(evaluations, config) if trained else None,
        likeness=tuple(likeness.measure(dataset, config)) if trained else (),
    )
    write_result(config, [made])
    return made


def _names(output: str, **options: Any) -> set[str]:
    return {one.name for one in find_removable(output, now=LATER, **options).removable}


def _objects(output: str) -> dict[str, tuple[int, datetime]]:
    return {entry.key: (entry.size, entry.modified) for entry in open_store(output).entries()}


def _say(dataset: DatasetRef, request: str) -> None:
    verdict = ReviewVerdict(request_id=request, decision=Decision.REJECT, who="ada", when=datetime.now(UTC))
    VerdictWriter(dataset.uri, dataset.digest).add(verdict)


@pytest.mark.timeout(120)
def test_what_earlier_runs_left_goes_and_all_works_on(configure: Configure, photos: Path) -> None:
    """Report, prediction, evaluation and regeneration work after it, and the same run makes nothing."""
    output = configure(3).output
    first, last = _run(configure(3)), _run(configure(4))
    ArtifactStore(f"{output}/artifacts").scratch("detector-0123456789abcdef").save(b"state")
    time.sleep(1.1)  # an object store tells whole seconds
    write_result(configure(4), [last])
    photo = photos / "bolt" / "test" / "cut" / "000.png"
    before = load_inspector(output).inspect(photo)[0]
    assert first.dataset is not None
    assert last.dataset is not None
    shared = {e.predictions for e in last.evaluations}
    gone = {
        Path(first.dataset.uri).stem,
        *({Path(c.uri).name for c in first.checkpoints} - {Path(c.uri).name for c in last.checkpoints}),
        *({str(e.predictions) for e in first.evaluations} - shared),
        "scratch/detector-0123456789abcdef",
    }
    assert len(gone) == 4

    found = find_removable(output, now=LATER)
    assert {one.name for one in found.removable} == gone
    assert [one.kind for one in found.removable] == ["dataset", "detector", "evaluation", "unfinished work"]
    listed = _objects(output)
    prune(found)

    left = _objects(output)
    assert left.items() <= listed.items()
    assert sum(size for size, _ in listed.values()) - sum(size for size, _ in left.values()) == sum(
        one.bytes for one in found.removable
    )
    assert _names(output) == set()
    assert verify(last.dataset.uri) == []
    assert regenerate(last.dataset.uri, Dataset(last.dataset.uri).made()[0].request_id).identical
    assert load_inspector(output).inspect(photo)[0] == before
    config = stored_config(read_result(output).settings, output=output, source="run.json")
    assert write_report(config, read_result(output)).endswith("report.html")
    assert _run(configure(4)) == last
    changed = {key for key, value in _objects(output).items() if left.get(key) != value}
    assert changed <= {"run.json", "report.html"}
    assert _run(configure(3)).dataset == first.dataset


def test_further_seeds_of_an_evaluation_stay_with_their_dataset(configure_here: Configure) -> None:
    """A plain run after `anogen evaluate` leaves them, however often; they go with another dataset or detector."""

    def seeded(seeds: int, steps: int = 4, images: int = 1) -> RunConfig:
        config = configure_here(images)
        evaluation = config.evaluation.model_copy(update={"seeds": seeds})
        detector = config.detector.model_copy(update={"steps": steps})
        return config.model_copy(update={"evaluation": evaluation, "detector": detector})

    output, trained = configure_here(1).output, {Path(c.uri).name for c in _run(seeded(2)).checkpoints}
    assert len(trained) == 4

    for _ in range(2):
        plain = _run(seeded(1))
        assert len(plain.checkpoints) == 2
        assert _names(output) == set()
    _run(seeded(2))
    assert read_result(output).compared == ()
    write_result(seeded(1), [plain])
    write_result(seeded(1, steps=5), [plain])

    gone = trained - {Path(c.uri).name for c in plain.checkpoints}
    assert {one.name for one in find_removable(output, now=LATER).removable if one.kind == "detector"} == gone


def test_datasets_of_further_seeds_are_other_images_of_the_same_defects(configure_here: Configure) -> None:
    """Each seed learns from its own; a plain run leaves them alone, and Perlin's detectors are trained once."""
    config = configure_here(3)
    several = config.evaluation.model_copy(update={"seeds": 2, "arms": ("perlin", "cutpaste", "generated")})
    shared = config.model_copy(update={"evaluation": several})
    redrawn = config.model_copy(update={"evaluation": several.model_copy(update={"redraw": True})})

    one, both = _run(shared), _run(redrawn)

    assert one.dataset == both.dataset
    assert (len(one.redrawn), len(both.redrawn)) == (0, 1)
    first, second = (Dataset(dataset.uri) for dataset in both.datasets)
    places = [[(row.normal_id, row.boxes) for row in stored.made()] for stored in (first, second)]
    assert places[0] != places[1]
    assert {row.embedding_digest for row in first.made()} == {row.embedding_digest for row in second.made()}
    uris = [[c.uri for c in made.checkpoints] for made in (one, both)]
    same = [(c.arm, seed) for c, seed, uri in zip(both.checkpoints, [0, 1] * 3, uris[0], strict=True) if c.uri == uri]
    assert same == [("perlin", 0), ("perlin", 1), ("cutpaste", 0), ("generated", 0)]
    assert {c.trained_on for c in both.checkpoints} == {None, *(dataset.digest for dataset in both.datasets)}
    told = [made.comparison.redrawn for made in (one, both) if made.comparison]
    assert told == [False, True]
    fewer = both.redrawn[0].model_copy(update={"num_images": 1})
    asked = several.model_copy(update={"arms": (*several.arms, "generated:2")})
    lines = left_out_arms(
        redrawn.model_copy(update={"evaluation": asked}),
        RunResult(categories=(both.model_copy(update={"redrawn": (fewer,)}),), settings={}),
    )
    assert lines == ["bolt: 1 images are too few for these arms, left out: generated:2."]
    _run(config)
    assert not _names(config.output) & {Path(dataset.uri).stem for dataset in both.datasets}
    assert read_result(config.output).compared[0].made.redrawn == both.redrawn


def test_young_named_and_foreign_things_stay(configure_here: Configure) -> None:
    """What was written within a day or since the last run ended, other categories, and what AnoGen does not write."""
    output = Path(configure_here(1).output)
    old, last = _run(configure_here(1), trained=False), _run(configure_here(2), trained=False)
    assert old.dataset is not None
    assert last.dataset is not None
    name = Path(old.dataset.uri).stem
    for foreign in ("datasets/bolt-mine.zarr/zarr.json", "datasets/nut-01234567.zarr/zarr.json", "notes/detector.txt"):
        (output / foreign).parent.mkdir(parents=True)
        (output / foreign).write_text("{}", encoding="utf-8")
    write_result(configure_here(2), [last])

    assert find_removable(str(output)).removable == ()
    assert _names(str(output)) == {name}
    assert _names(str(output), keep_last=2) == set()
    spared = {one.name: one.why for one in find_removable(str(output), now=LATER).spared}
    assert set(spared) == {"bolt-mine", "nut-01234567"}
    day = time.time() - 50 * 3600
    os.utime(output / "run.json", (day, day))
    assert _names(str(output)) == set()
    write_result(configure_here(2), [last], failed=[FailedCategory(category="felt", reason="gone")])
    assert _names(str(output)) == {name}
    write_result(configure_here(2), [], failed=[FailedCategory(category="bolt", reason="gone")])
    assert _names(str(output)) == set()


def test_reviewed_datasets_stay_until_their_verdicts_are_elsewhere(configure_here: Configure) -> None:
    """What was carried to a dataset that stays is not lost; what is on images that no other one holds is."""
    output = configure_here(3).output
    old = _generate(configure_here(3))
    first, *_, only = [row.request_id for row in Dataset(old.uri).made() if row.defect == "cut"]
    _say(old, first)
    last = _run(configure_here(2), trained=False)

    assert _names(output) == {Path(old.uri).stem}
    _say(old, only)
    assert _names(output) == set()
    (spared,) = find_removable(output, now=LATER).spared
    assert spared.why == "reviewed: 1 of its verdicts are on no other dataset that stays"
    assert last.dataset is not None


def test_nothing_is_deleted_while_a_run_goes_on(configure_here: Configure) -> None:
    """Also one that begins or ends after the look; the mark of one that was killed counts for an hour and goes."""
    output = Path(configure_here(1).output)
    _run(configure_here(1), trained=False)
    last = _run(configure_here(2), trained=False)
    found, before = find_removable(str(output), now=LATER), set(_objects(str(output)))

    with announced(str(output), "nightly", ["bolt"]):
        assert find_removable(str(output)).running[0].startswith("nightly on ")
        with pytest.raises(AnogenError, match=r"nothing is deleted while a run goes on there: nightly on "):
            prune(found)
        (mark,) = (output / MARKS).iterdir()
        copy_of_killed = mark.read_bytes()
    assert set(_objects(str(output))) == before
    mark.write_bytes(copy_of_killed)
    with pytest.raises(AnogenError, match="one that was killed on another machine counts for an hour"):
        prune(found)
    os.utime(mark, (time.time() - 3700,) * 2)
    write_result(configure_here(2), [last], seconds={"learn defects": 1.0})
    with pytest.raises(AnogenError, match="a run has ended there meanwhile"):
        prune(found)
    prune(find_removable(str(output), now=LATER))
    assert not mark.exists()
    assert len(list((output / "datasets").iterdir())) == 1


def test_a_run_that_ends_well_takes_marks_of_dead_runs_away(tmp_path: Path) -> None:
    """One that was killed leaves a mark; after an hour the next run removes it, and none that may still go on."""
    folder = tmp_path / MARKS
    with announced(str(tmp_path), "nightly", ["bolt"]):
        (mark,) = folder.iterdir()
        dead, going_on = folder / "dead.json", folder / "going-on.json"
        for copy, age in ((dead, 3700), (going_on, 3500)):
            copy.write_bytes(mark.read_bytes())
            os.utime(copy, (time.time() - age,) * 2)
    assert list(folder.iterdir()) == [going_on]

    os.utime(going_on, (time.time() - 3700,) * 2)
    with pytest.raises(ZeroDivisionError), announced(str(tmp_path), "nightly", ["bolt"]):
        raise ZeroDivisionError
    assert list(folder.iterdir()) == [going_on]


def test_a_run_that_cannot_write_ends_before_it_begins(tmp_path: Path) -> None:
    """Its mark is the first object that it writes; what is refused then would be refused after hours of learning."""
    (tmp_path / MARKS).write_text("a file is in the way")

    with pytest.raises(StorageError, match="same name"), announced(str(tmp_path), "nightly", ["bolt"]):
        pytest.fail("it began")


def test_a_deletion_that_was_cut_off_is_completed(configure_here: Configure) -> None:
    """What is left of a dataset and a detector is neither found by runs nor forgotten; a damaged dataset stays."""
    output = Path(configure_here(1).output)
    old, last = _run(configure_here(1)), _run(configure_here(2), trained=False)
    assert old.dataset is not None
    assert last.dataset is not None
    whole = Path(old.dataset.uri)
    manifest = (whole / "manifest.json").read_bytes()
    (whole / "manifest.json").write_bytes(b"{")
    write_result(configure_here(2), [last])
    (spared,) = find_removable(str(output), now=LATER).spared
    assert spared.why == "cannot be read"
    (whole / "manifest.json").write_bytes(manifest)
    (whole / "zarr.json").unlink()
    write_result(configure_here(2), [last])
    detector = output / "artifacts" / Path(old.checkpoints[0].uri).name
    (detector / "artifact.json").unlink()

    found = find_removable(str(output), now=LATER)

    assert {one.name: one.about for one in found.removable if one.about == "incomplete"} == {
        whole.stem: "incomplete",
        detector.name: "incomplete",
    }
    prune(found)
    assert not whole.exists()
    assert not detector.exists()


def test_the_command_shows_first_and_deletes_with_yes(configure_here: Configure, tmp_path: Path) -> None:
    """By kind with sizes; JSON is the whole answer; a place without a finished run is one error."""
    output = Path(configure_here(1).output)
    old, _ = _run(configure_here(1), trained=False), _run(configure_here(2), trained=False)
    assert old.dataset is not None
    name = Path(old.dataset.uri).stem
    past = time.time() - 50 * 3600
    for path in output.rglob("*"):
        os.utime(path, (past + (path.name == "run.json"),) * 2)

    def say(*arguments: str) -> tuple[str, str]:
        said = CliRunner().invoke(app, ["prune", *arguments])
        assert said.exit_code == 0, said.output
        return said.stdout, said.stderr

    shown, told = say(str(output))
    assert shown.splitlines()[0].startswith("dataset: 1, 0.")
    assert shown.splitlines()[1].startswith(f"  {name}  cut 1, spot 1  0.")
    assert "would go; nothing was deleted. `--yes` deletes it." in told
    answer = json.loads(say(str(output), "--json")[0])
    assert (answer["deleted"], [one["name"] for one in answer["removable"]]) == (False, [name])
    assert json.loads(say(str(output), "--yes", "--json")[0])["deleted"] is True
    assert not Path(old.dataset.uri).exists()
    assert "nothing of its" in say(str(output))[1]
    for place in (tmp_path / "nowhere", tmp_path):
        failed = CliRunner().invoke(app, ["prune", str(place), "--yes"])
        assert isinstance(failed.exception, InputError)
        assert "holds no run.json; expected the output of a finished run" in str(failed.exception)
