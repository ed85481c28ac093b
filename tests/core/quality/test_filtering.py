"""What becomes of filtered requests: replaced within the budget, accounted for, drawn; noise is filtered as a whole."""

import copy
import itertools
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from anogen_core.config import RunConfig, parse_config
from anogen_core.data.frame import read_photo
from anogen_core.records import LedgerRow, Outcome
from anogen_core.seeding import torch_generator
from anogen_core.stages import embedding, generation, library
from anogen_core.stages.catalogue import read_category
from anogen_core.stages.embedding_store import read_vectors
from anogen_core.stages.evidence import doubt
from anogen_core.storage import Dataset, verify
from anogen_core.storage.artifacts import ArtifactStore
from anogen_core.storage.uri import name_of
from tests.datasets import make_dataset

_STRICT = {"embedding": False, "slack": 0, "min_contrast": 0.9, "replacements": 2}


def _config(small_run: dict[str, object], output: Path, **changes: Any) -> RunConfig:
    return parse_config({**copy.deepcopy(small_run), "output": str(output), **changes}, source="test")


def _make(config: RunConfig, category: str = "bolt") -> Dataset:
    return Dataset(make_dataset(config, category).uri)


def _chains(rows: list[LedgerRow]) -> list[list[LedgerRow]]:
    """Return every planned row with its replacements, which follow it."""
    chains: list[list[LedgerRow]] = []
    for row in rows:
        if row.replaces is None:
            chains.append([])
        chains[-1].append(row)
    return chains


@pytest.fixture(scope="module")
def strict(small_run: dict[str, object], tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """A dataset whose gates hardly anything of an untrained model passes."""
    return _make(_config(small_run, tmp_path_factory.mktemp("strict"), quality=_STRICT))


def test_how_many_photos_are_in_memory_at_once_changes_nothing(
    strict: Dataset, small_run: dict[str, object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Large photos go through a shard batch by batch, replacements too."""
    monkeypatch.setattr(generation, "_PIXELS_AT_ONCE", 1)

    one_by_one = _make(_config(small_run, tmp_path, quality=_STRICT))

    assert one_by_one.spec.shard_size > small_run["generation"]["batch_size"]  # type: ignore[index]
    assert one_by_one.ref().digest == strict.ref().digest


def test_filtered_requests_are_replaced_up_to_the_budget(strict: Dataset) -> None:
    """A replacement names what it replaces and keeps its photo; a chain ends when one passes or the budget does."""
    chains = _chains(strict.ledger())

    assert len(chains) == strict.spec.num_requests
    assert any(len(chain) > 1 for chain in chains)
    for chain in chains:
        assert len(chain) == 3 or chain[-1].outcome is Outcome.MADE
        for before, row in itertools.pairwise(chain):
            assert before.outcome is Outcome.FILTERED
            assert row.replaces == before.request_id
            assert row.normal_sha256 == before.normal_sha256
            assert row.seed != before.seed
    ids = [row.request_id for row in strict.ledger()]
    assert len(set(ids)) == len(ids)


def test_totals_reconcile_with_replacements(strict: Dataset) -> None:
    """Planned counts replacements too, and every request has one ending; verify agrees."""
    summary, rows = strict.summary(), strict.ledger()

    assert summary["planned"] == len(rows) == sum(summary[outcome.value] for outcome in Outcome)
    assert summary["replacements"] == sum(row.replaces is not None for row in rows) > 0
    assert all((row.reason is None) == (row.outcome is Outcome.MADE) for row in rows)
    assert verify(strict.uri) == []


def test_filtered_images_can_be_seen(strict: Dataset) -> None:
    """A picture for each shard of work with filtered images, one row for each; damage to it is noticed."""
    pictures = sorted((Path(strict.uri) / "filtered").glob("*.png"))
    filtered = sum(row.outcome is Outcome.FILTERED for row in strict.ledger())

    heights = [read_photo(picture).shape[0] for picture in pictures]

    assert sum(heights) == filtered * 200


def test_the_same_run_makes_the_same_dataset(small_run: dict[str, object], strict: Dataset, tmp_path: Path) -> None:
    """Replacements depend on the seed alone, not on which machine filters first."""
    again = _make(_config(small_run, tmp_path, quality=strict.spec.settings["run"]["quality"]))

    assert again.manifest.digest == strict.manifest.digest


def test_a_normal_photo_that_goes_missing_ends_only_its_own_requests(
    small_run: dict[str, object], photos: Path, tmp_path: Path
) -> None:
    """One that showed how the product lies: replacements on other photos are placed without it."""
    own = Path(shutil.copytree(photos, tmp_path / "photos"))
    config = _config(small_run, tmp_path / "out", quality=_STRICT, reader={"kind": "mvtec", "root": str(own)})
    learned = embedding.learn(read_category(config, "bolt").supports, config)
    planned, shards = generation.plan_dataset(config, "bolt", learned)
    lost = planned.product.typical[0]
    Path(lost.image_uri).unlink()

    for shard in shards:
        generation.make_shard(shard, planned, config)

    rows = Dataset(generation.seal_dataset(planned).uri).ledger()
    assert all((row.outcome is Outcome.FAILED) == (row.normal_sha256 == lost.sha256) for row in rows)
    assert any(row.replaces is not None for row in rows)


def test_no_budget_makes_no_replacement(small_run: dict[str, object], tmp_path: Path) -> None:
    """`replacements: 0` leaves the plan as it was."""
    quality = {"embedding": False, "slack": 0, "min_contrast": 0.9, "replacements": 0}
    made = _make(_config(small_run, tmp_path, quality=quality))

    assert made.summary()["replacements"] == 0
    assert len(made.ledger()) == made.spec.num_requests


def test_a_noise_embedding_gives_no_dataset_of_rubbish(small_run: dict[str, object], tmp_path: Path) -> None:
    """On the bundled model an embedding learned elsewhere is believed; noise is filtered, with the true reason."""
    changes: dict[str, Any] = {
        "base_model": {"kind": "bundled"},
        "inversion": {"steps": 60, "validate_every": 20},
        "quality": {},
        "support": {"shots": 1, "defects": ["bolt/cut"]},
    }
    config = _config(small_run, tmp_path / "out", **changes)
    (support,) = read_category(config, "bolt").supports
    (learned,) = embedding.learn([support], config)
    vectors = read_vectors(ArtifactStore(f"{config.output}/artifacts"), name_of(learned.uri))
    noise = torch.randn(vectors.shape, generator=torch_generator(5))
    believed, doubted = (
        _import(v, tmp_path / name, config)
        for name, v in {"good": vectors, "noise": noise / noise.norm() * vectors.norm()}.items()
    )

    assert learned.evidence is None
    (weighed,) = embedding.learn([support], believed)
    evidence = weighed.evidence
    assert evidence is not None
    assert evidence.beaten == len(evidence.random_losses) > 10
    assert doubt(evidence) is None
    dataset = _make(doubted)
    rows = dataset.ledger()
    assert len(dataset) == 0
    assert {row.outcome for row in rows} == {Outcome.FILTERED}
    assert all("no better than random vectors" in str(row.reason) for row in rows)
    assert dataset.summary()["replacements"] == 0
    assert verify(dataset.uri) == []


def _import(vectors: torch.Tensor, folder: Path, config: RunConfig) -> RunConfig:
    """Return the settings with an embedding that comes from elsewhere."""
    folder.mkdir()
    save_file({"<cut>": vectors}, folder / "learned_embeds.safetensors")
    file = folder / "learned_embeds.safetensors"
    entry = library.import_embedding(config, file, name="bolt/cut", token=None, licence="CC0-1.0")
    return config.model_copy(update={"embeddings": {"bolt/cut": entry.key}})
