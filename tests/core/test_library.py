"""The defect library: embeddings out of a run's output, into another's, and used there."""

import copy
import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from anogen_core.config import PhotoSettings, RunConfig, parse_config
from anogen_core.diffusion import StableDiffusionSettings
from anogen_core.diffusion.model import DiffusionModel
from anogen_core.errors import CorruptDatasetError, InputError
from anogen_core.records import ConceptEmbedding, DatasetRef
from anogen_core.seeding import torch_generator
from anogen_core.stages import embedding, generation, library
from anogen_core.stages.catalogue import read_category
from anogen_core.stages.embedding_store import read_vectors
from anogen_core.stages.library_entries import find_embedding, list_embeddings
from anogen_core.stages.result import CategoryResult, write_result
from anogen_core.storage import Dataset
from anogen_core.storage.artifacts import ArtifactStore
from anogen_core.storage.uri import name_of
from flows.cli.starting import require_places

_PUBLISHED = Path(__file__).parents[3] / "shared/data/anogen_embeddings/hazelnut_crack/embeddings.pt"


def _config(small_run: dict[str, object], output: Path, **changes: Any) -> RunConfig:
    values = {**copy.deepcopy(small_run), "output": str(output), **changes}
    return parse_config(values, source="test")


def _export(config: RunConfig, name: str, directory: Path) -> Path:
    return library.export_embedding(config.output, find_embedding(config.output, name), directory)


def _finish(config: RunConfig, used: ConceptEmbedding) -> None:
    """Leave the result of a run that used an embedding."""
    dataset = DatasetRef(
        uri=f"{config.output}/datasets/none.zarr",
        category=used.category,
        num_images=0,
        digest="",
        config_fingerprint="",
        format_version="",
    )
    write_result(config, [CategoryResult(category=used.category, dataset=dataset, embeddings=(used,))])


@pytest.fixture(scope="module")
def learned(small_run: dict[str, object], tmp_path_factory: pytest.TempPathFactory) -> RunConfig:
    """A run whose bolt defects are learned."""
    config = _config(small_run, tmp_path_factory.mktemp("learned"))
    embedding.learn(read_category(config, "bolt").supports, config)
    return config


@pytest.fixture
def other_model(tiny_directory: Path, tmp_path: Path) -> Path:
    """The tiny model under another fingerprint."""
    directory = tmp_path / "other"
    shutil.copytree(tiny_directory, directory)
    (directory / "notes.txt").write_text("another model")
    return directory


def test_list_shows_what_was_learned(learned: RunConfig) -> None:
    """Defect, size, base model and the hashes of the support photos."""
    entries = list_embeddings(learned.output)

    assert [(e.about.category, e.about.defect) for e in entries] == [("bolt", "cut"), ("bolt", "spot")]
    support = read_category(learned, "bolt").supports[0]
    assert [p.sha256 for p in entries[0].about.support] == [s.sha256 for s in support.samples]
    assert entries[0].about.base_model == learned.base_model.describe()
    assert (entries[0].about.num_vectors, entries[0].width) == (1, 24)
    assert entries[0].key == embedding.embedding_key(support, learned)


def test_versions_of_a_defect_are_told_apart(small_run: dict[str, object], tmp_path: Path) -> None:
    """They are numbered by time; a name means the one that the last run used, else the newest."""
    config = _config(small_run, tmp_path / "out", support={"defects": ["cut"]})
    (support,) = read_category(config, "bolt").supports
    (first,) = embedding.learn([support], config)
    (second,) = embedding.learn([support], config.model_copy(update={"seed": 3}))

    one, two = list_embeddings(config.output)

    assert [name_of(e.uri) for e in (first, second)] == [one.key, two.key]
    assert [(e.name, e.versions) for e in (one, two)] == [("bolt/cut@v1", 2), ("bolt/cut@v2", 2)]
    assert one.about.created_at is not None
    assert two.about.created_at is not None
    assert one.about.created_at < two.about.created_at
    assert find_embedding(config.output, "bolt/cut") == two
    assert find_embedding(config.output, "bolt/cut@v1") == find_embedding(config.output, one.key) == one
    _finish(config, first)
    used = find_embedding(config.output, "bolt/cut")
    assert (used.key, used.used_by_last_run) == (one.key, True)
    assert "bolt/cut@v1" in used.describe()
    assert used.describe().splitlines()[0].endswith("UTC, used by the last run")
    assert not find_embedding(config.output, two.key).used_by_last_run


def test_embeddings_of_stores_without_dates_come_first(small_run: dict[str, object], tmp_path: Path) -> None:
    """Metadata without time, source and licence is read, and what is stored later is newer."""
    config = _config(small_run, tmp_path / "out", support={"defects": ["cut"]})
    (support,) = read_category(config, "bolt").supports
    embedding.learn([support], config)
    artifacts = ArtifactStore(f"{config.output}/artifacts")
    (stored,) = list_embeddings(config.output)
    artifacts.annotate(
        stored.key, stored.about.model_dump(mode="json", exclude={"created_at", "source", "licence", "imported"})
    )
    embedding.learn([support], config.model_copy(update={"seed": 3}))

    old, new = list_embeddings(config.output)

    assert (old.key, old.about.created_at, old.about.licence) == (stored.key, None, "not stated")
    assert "date not recorded" in old.describe()
    assert "UTC" in new.describe()


def test_licence_and_time_do_not_change_an_embedding(small_run: dict[str, object], tmp_path: Path) -> None:
    """The photos' licence is stored beside the base model's; keys and vectors are those of a run without one."""
    plain = _config(small_run, tmp_path / "plain", support={"defects": ["cut"]})
    stated = _config(small_run, tmp_path / "stated", support={"defects": ["cut"]}, photos={"licence": "CC-BY-4.0"})
    for config in (plain, stated):
        embedding.learn(read_category(config, "bolt").supports, config)

    (without,), (entry,) = list_embeddings(plain.output), list_embeddings(stated.output)

    assert (without.about.licence, entry.about.licence) == ("not stated", "CC-BY-4.0")
    assert entry.about.base_model.licence == plain.base_model.describe().licence
    assert (without.key, without.digest) == (entry.key, entry.digest)
    assert without.about.created_at != entry.about.created_at


def test_a_licence_that_is_stated_later_counts(small_run: dict[str, object], tmp_path: Path) -> None:
    """An embedding is found again, not learned again; the list and exports say what the last run's file states."""
    config = _config(small_run, tmp_path / "out", support={"defects": ["cut"]})
    (learned,) = embedding.learn(read_category(config, "bolt").supports, config)
    _finish(config, learned)
    assert find_embedding(config.output, "bolt/cut").about.licence == "not stated"

    model = config.base_model.model_copy(update={"licence": "OpenRAIL"})
    stated = config.model_copy(update={"photos": PhotoSettings(licence="CC0-1.0"), "base_model": model})
    assert embedding.learn(read_category(stated, "bolt").supports, stated) == [learned]
    _finish(stated, learned)

    _export(stated, "bolt/cut", tmp_path / "cut")
    about = json.loads((tmp_path / "cut" / "embedding.json").read_text())["about"]
    assert (about["licence"], about["base_model"]["licence"]) == ("CC0-1.0", "OpenRAIL")


def test_an_import_records_its_file(small_run: dict[str, object], tmp_path: Path) -> None:
    """Files of one name are told apart by folder and sha256; imported again, a file may state another licence."""
    config = _config(small_run, tmp_path / "out")
    entries = []
    for number, folder in enumerate(("a", "b")):
        file = tmp_path / folder / "embeds.safetensors"
        file.parent.mkdir()
        save_file({"<cut>": torch.randn((1, 24), generator=torch_generator(number))}, file)
        entry = library.import_embedding(config, file, name="bolt/cut", token=None, licence=None)
        source = entry.about.source
        assert source is not None
        assert (source.name, source.sha256) == (
            f"{folder}/embeds.safetensors",
            hashlib.sha256(file.read_bytes()).hexdigest(),
        )
        assert f"imported from {source.name} (sha256 {source.sha256[:12]})" in entry.describe()
        entries.append(entry)
    assert [e.name for e in entries] == ["bolt/cut@v1", "bolt/cut@v2"]

    again = library.import_embedding(config, file, name="bolt/cut", token=None, licence="CC0-1.0")

    assert again.about == entries[1].about.model_copy(update={"licence": "CC0-1.0"})
    assert again.key == entries[1].key
    kept = library.import_embedding(config, file, name="bolt/cut", token=None, licence=None)
    assert kept.about.licence == "CC0-1.0"


def test_diffusers_loads_an_export(learned: RunConfig, tiny_directory: Path, tmp_path: Path) -> None:
    """`load_textual_inversion` takes the file as it is and finds the stored vector under the token in the JSON."""
    from diffusers import StableDiffusionPipeline

    file = _export(learned, "bolt/cut", tmp_path / "cut")

    token = json.loads((tmp_path / "cut" / "embedding.json").read_text())["token"]
    pipeline = StableDiffusionPipeline.from_pretrained(str(tiny_directory), local_files_only=True)
    pipeline.load_textual_inversion(str(file))
    row = pipeline.tokenizer.convert_tokens_to_ids(token)
    key = list_embeddings(learned.output)[0].key
    stored = read_vectors(ArtifactStore(f"{learned.output}/artifacts"), key)
    assert torch.equal(pipeline.text_encoder.get_input_embeddings().weight[row].detach(), stored[0])
    assert not (tmp_path / "cut" / "preview.png").exists()  # nothing was generated with it yet


def test_an_export_used_elsewhere_makes_the_same_images(
    learned: RunConfig, small_run: dict[str, object], tmp_path: Path
) -> None:
    """Imported into an empty output and named in the run file, nothing is learned and the pixels are equal."""
    _export(learned, "bolt/cut", tmp_path / "cut")
    empty = _config(small_run, tmp_path / "out", support={"defects": ["cut"]})

    entry = library.import_embedding(empty, tmp_path / "cut", name=None, token=None, licence=None)
    again = library.import_embedding(empty, tmp_path / "cut", name=None, token=None, licence=None)
    config = empty.model_copy(update={"embeddings": {"bolt/cut": entry.key}})

    assert again == entry
    library.import_embedding(empty, tmp_path / "cut", name=None, token=None, licence="CC0-1.0")
    corrected = library.import_embedding(empty, tmp_path / "cut", name=None, token=None, licence=None)
    assert corrected.about == entry.about.model_copy(update={"licence": "CC0-1.0"})
    assert entry.about.imported
    support = read_category(config, "bolt").supports[0]
    assert embedding.is_learned(support, config)
    (used,) = embedding.learn([support], config)
    assert used.uri.endswith(entry.key)
    assert used.support_sha256 == tuple(p.sha256 for p in entry.about.support)
    images = []
    for run, embeddings in ((config, [used]), (learned, [])):
        supports = read_category(run, "bolt").supports
        found = embeddings or embedding.learn(supports, run)
        planned, shards = generation.plan_dataset(run, "bolt", found)
        for shard in shards:
            generation.make_shard(shard, planned, run)
        stored = Dataset(generation.seal_dataset(planned).uri)
        images.append({sample.row.request_id: sample.image for sample in stored})
    for name in ("cut-000000", "cut-000001"):
        assert (images[0][name] == images[1][name]).all()


def test_the_photos_an_import_was_learned_from_are_not_evaluated(
    learned: RunConfig, small_run: dict[str, object], tmp_path: Path
) -> None:
    """Another seed draws other support photos; those the embedding was learned from are held out instead."""
    _export(learned, "bolt/cut", tmp_path / "cut")
    config = _config(small_run, tmp_path / "out", seed=5)
    entry = library.import_embedding(config, tmp_path / "cut", name=None, token=None, licence=None)
    hashes = {p.sha256 for p in entry.about.support}
    before = read_category(config, "bolt")
    assert hashes & {s.sha256 for s in before.evaluated[0]}

    after = read_category(config.model_copy(update={"embeddings": {"bolt/cut": entry.key}}), "bolt")

    assert not hashes & {s.sha256 for s in after.evaluated[0]}
    assert after.supports[1] == before.supports[1]


def test_adding_a_defect_leaves_the_others_alone(
    learned: RunConfig, small_run: dict[str, object], tmp_path: Path
) -> None:
    """A defect without photos of its own is added by its embedding: the keys of the others stay what they were."""
    save_file(
        {"<scratch>": torch.randn((2, 24), generator=torch_generator(9))}, tmp_path / "learned_embeds.safetensors"
    )
    entry = library.import_embedding(
        learned, tmp_path / "learned_embeds.safetensors", name="bolt/scratch", token=None, licence="CC0-1.0"
    )
    before = {s.defect: embedding.embedding_key(s, learned) for s in read_category(learned, "bolt").supports}

    config = _config(
        small_run,
        Path(learned.output),
        embeddings={"bolt/scratch": entry.key},
        mask_sampler={"kind": "box", "width": [0.2, 0.3], "height": [0.2, 0.3]},
    )
    supports = read_category(config, "bolt").supports
    after = {s.defect: embedding.embedding_key(s, config) for s in supports}

    assert entry.about.licence == "CC0-1.0"
    assert after == {**before, "scratch": entry.key}
    planned, _ = generation.plan_dataset(config, "bolt", embedding.learn(supports, config))
    assert planned.spec.defects == ("cut", "scratch", "spot")


def test_an_embedding_of_another_base_model_is_refused(
    learned: RunConfig, small_run: dict[str, object], other_model: Path, tmp_path: Path
) -> None:
    """On import and on use, with both fingerprints; on import another width is refused with both widths."""
    _export(learned, "bolt/cut", tmp_path / "cut")
    here = learned.base_model.describe().fingerprint
    there = StableDiffusionSettings(directory=str(other_model)).describe().fingerprint
    model = {"kind": "stable_diffusion", "directory": str(other_model)}
    other = _config(small_run, tmp_path / "out", base_model=model)

    with pytest.raises(InputError, match=rf"was made for .*{here}.* names .*{there}"):
        library.import_embedding(other, tmp_path / "cut", name=None, token=None, licence=None)
    key = list_embeddings(learned.output)[0].key
    named = _config(small_run, Path(learned.output), base_model=model, embeddings={"bolt/cut": key})
    with pytest.raises(InputError, match=rf"embeddings\[bolt/cut\]: .*{here}.*{there}"):
        read_category(named, "bolt")
    save_file({"<cut>": torch.zeros(1, 768)}, tmp_path / "sd.safetensors")
    with pytest.raises(InputError, match=r"width 768, but base model .* takes 24"):
        library.import_embedding(learned, tmp_path / "sd.safetensors", name="bolt/cut", token=None, licence=None)


def test_the_published_embeddings_of_the_paper_go_with_its_base_model(
    small_run: dict[str, object], tiny_ldm: Callable[..., Path], tiny_model: DiffusionModel, tmp_path: Path
) -> None:
    """They are imported for an LDM of their width and condition it; a base model of another width refuses them."""
    if not _PUBLISHED.is_file():
        pytest.skip("the published embeddings are not beside the project")
    model = {"kind": "stable_diffusion", "directory": str(tiny_ldm(width=1280)), "licence": "Apache-2.0"}
    config = _config(small_run, tmp_path / "out", base_model=model)

    entry = library.import_embedding(config, _PUBLISHED, name="bolt/cut", token=None, licence=None)

    vectors = read_vectors(ArtifactStore(f"{config.output}/artifacts"), entry.key)
    loaded = config.base_model.build(torch.device("cpu"))
    concept = loaded.condition(["a photo of the {}"], vectors[None])
    assert concept.shape == (1, 77, 1280)
    assert not torch.allclose(concept, loaded.condition(["a photo of the defect"]))
    with pytest.raises(InputError, match=rf"width 1280, but base model .* takes {tiny_model.width}"):
        library.import_embedding(
            _config(small_run, tmp_path / "out"), _PUBLISHED, name="bolt/cut", token=None, licence=None
        )


@pytest.mark.s3
def test_a_library_on_an_object_store(small_run: dict[str, object], s3_bucket: str, tmp_path: Path) -> None:
    """Import, list and export work where the run's output is s3://."""
    vectors = torch.randn((1, 24), generator=torch_generator(9))
    save_file({"<cut>": vectors}, tmp_path / "cut.safetensors")
    config = parse_config({**small_run, "output": f"{s3_bucket}/library"}, source="test")

    entry = library.import_embedding(config, tmp_path / "cut.safetensors", name="bolt/cut", token=None, licence=None)

    assert list_embeddings(config.output) == [entry]
    file = _export(config, entry.key, tmp_path / "cut")
    assert torch.equal(load_file(file)["<bolt-cut>"], vectors)


def test_a_changed_export_is_refused(learned: RunConfig, tmp_path: Path) -> None:
    """The JSON carries the digest of the tensors."""
    file = _export(learned, "bolt/cut", tmp_path / "cut")
    save_file({"<bolt-cut>": torch.zeros(1, 24)}, file)

    with pytest.raises(InputError, match=r"has sha256 .* says"):
        library.import_embedding(learned, file, name=None, token=None, licence=None)


@pytest.mark.parametrize(
    ("embeddings", "expected"),
    [
        ({"bolt/cut": f"embedding-{'0' * 16}"}, "holds no sound embedding-0000000000000000"),
        ({"nut/cut": f"embedding-{'0' * 16}"}, "no photos of 'nut'; there are: bolt, felt"),
    ],
)
def test_a_run_file_that_names_what_is_not_there_is_refused(
    learned: RunConfig, small_run: dict[str, object], embeddings: dict[str, str], expected: str
) -> None:
    """Before any compute, with the name and what there is."""
    config = _config(small_run, Path(learned.output), embeddings=embeddings)

    with pytest.raises(InputError, match=expected):
        read_category(config, "bolt")
    if "bolt/cut" in embeddings:
        with pytest.raises(InputError, match=expected):
            require_places(config)


def test_a_damaged_result_of_the_last_run_is_named(small_run: dict[str, object], tmp_path: Path) -> None:
    """Which embeddings the last run used cannot be told then: one error with the file."""
    config = _config(small_run, tmp_path / "out")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "run.json").write_text("{")

    with pytest.raises(CorruptDatasetError, match=r"run\.json: is not usable"):
        list_embeddings(config.output)


def test_unknown_names_are_explained(learned: RunConfig, tmp_path: Path) -> None:
    """What there is, and the versions to choose from."""
    with pytest.raises(InputError, match="no embedding 'bolt/dent', but: bolt/cut"):
        _export(learned, "bolt/dent", tmp_path)
    with pytest.raises(InputError, match="no embedding 'bolt/spot@v7', but: bolt/spot@v1"):
        _export(learned, "bolt/spot@v7", tmp_path)
    save_file({"<x>": torch.zeros(1, 24)}, tmp_path / "x.safetensors")
    with pytest.raises(InputError, match="--defect"):
        library.import_embedding(learned, tmp_path / "x.safetensors", name=None, token=None, licence=None)
