"""What every layout promises. A new layout adds one line to `_LAYOUTS`."""

import csv
import json
import resource
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import mlcroissant
import numpy as np
import pytest

from anogen_core.errors import InputError, StorageError
from anogen_core.export import (
    LAYOUTS,
    CocoExporterSettings,
    ExporterSettings,
    MvtecExporterSettings,
    WebDatasetExporterSettings,
    YoloExporterSettings,
    pull,
)
from anogen_core.export.folder import safe_names, write_once
from anogen_core.export.selection import SplitSettings
from anogen_core.storage import Dataset, DatasetWriter, open_store

_LAYOUTS: dict[str, ExporterSettings] = {
    "mvtec": MvtecExporterSettings(),
    "coco": CocoExporterSettings(validation_fraction=0.5),
    "yolo": YoloExporterSettings(validation_fraction=0.5),
    "webdataset": WebDatasetExporterSettings(validation_fraction=0.5, images_per_shard=2),
}


@pytest.fixture(params=_LAYOUTS)
def settings(request: pytest.FixtureRequest) -> ExporterSettings:
    return _LAYOUTS[request.param]


def contents(folder: Path) -> dict[str, bytes]:
    """Return every file below a folder."""
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def lines(folder: Path) -> list[dict[str, str]]:
    """Return what samples.csv says of each image."""
    return list(csv.DictReader((folder / "samples.csv").open(newline="", encoding="utf-8")))


def test_every_layout_is_tested() -> None:
    """The table above names all layouts."""
    assert tuple(_LAYOUTS) == LAYOUTS


def test_the_table_tells_where_each_image_comes_from(uri: str, tmp_path: Path, settings: ExporterSettings) -> None:
    """samples.csv has one line for each image with its file, box and normal photo; the card has the digest."""
    ticks: list[None] = []

    folder = pull(Dataset(uri), tmp_path / "out", settings=settings, on_image=lambda: ticks.append(None))

    assert folder == tmp_path / "out" / "bottle"
    assert len(ticks) == 6
    assert [line["request_id"] for line in lines(folder)] == [row.request_id for row in Dataset(uri).made()]
    assert all((folder / next(iter(line.values()))).is_file() for line in lines(folder))
    assert lines(folder)[0]["box"] == "1 2 3 4"
    assert Dataset(uri).manifest.digest in (folder / "README.md").read_text()


def test_mlcroissant_reads_what_was_pulled(uri: str, tmp_path: Path, settings: ExporterSettings) -> None:
    """croissant.json validates against the files; its records are the chosen images, its globs find files."""
    folder = pull(Dataset(uri), tmp_path / "out", settings=settings.model_copy(update={"defects": ("hole",)}))

    described = mlcroissant.Dataset(folder / "croissant.json")

    assert not described.metadata.issues.errors
    found = [record["samples/request_id"].decode() for record in described.records("samples")]
    assert found == [row.request_id for row in Dataset(uri).made() if row.defect == "hole"]
    sets = [part for part in described.metadata.distribution if isinstance(part, mlcroissant.FileSet)]
    assert sets
    assert all(list(folder.glob(part.includes[0])) for part in sets if not part.id.endswith("-val"))


def test_a_non_commercial_licence_is_said_loudly(
    tmp_path: Path, settings: ExporterSettings, making: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """First in the card, in the machine metadata, and as a warning of the pull itself."""
    making.dataset(f"{tmp_path}/d.zarr", data_licence="CC BY-NC-SA 4.0")

    folder = pull(Dataset(f"{tmp_path}/d.zarr"), tmp_path / "out", settings=settings)

    assert "NON-COMMERCIAL USE ONLY" in (folder / "README.md").read_text().splitlines()[2]
    assert "NON-COMMERCIAL USE ONLY" in (folder / "croissant.json").read_text()
    assert "NON-COMMERCIAL USE ONLY" in caplog.text


def test_two_pulls_are_equal_and_the_second_writes_nothing(
    uri: str, tmp_path: Path, settings: ExporterSettings
) -> None:
    """The same bytes everywhere; files that are whole are not touched."""
    folder = pull(Dataset(uri), tmp_path / "out", settings=settings)
    first = contents(folder)
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}

    pull(Dataset(uri), tmp_path / "out", settings=settings)
    elsewhere = pull(Dataset(uri), tmp_path / "elsewhere", settings=settings)

    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before
    assert contents(elsewhere) == first


def test_pulling_again_completes_and_repairs(uri: str, tmp_path: Path, settings: ExporterSettings) -> None:
    """Missing and cut files are written again."""
    folder = pull(Dataset(uri), tmp_path / "out", settings=settings)
    first = contents(folder)
    names = [name for name in first if name != "anogen-export.json"]
    for name in names[::2]:
        (folder / name).unlink()
    for name in names[1::2]:
        (folder / name).write_bytes(first[name][: len(first[name]) // 2])

    pull(Dataset(uri), tmp_path / "out", settings=settings)

    assert contents(folder) == first


def test_a_pull_that_broke_off_goes_on(uri: str, tmp_path: Path, settings: ExporterSettings) -> None:
    """After an interruption in the middle the same command gives what one undisturbed pull gives."""

    def stop() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        pull(Dataset(uri), tmp_path / "out", settings=settings, on_image=stop)
    folder = pull(Dataset(uri), tmp_path / "out", settings=settings)

    assert contents(folder) == contents(pull(Dataset(uri), tmp_path / "whole", settings=settings))


def test_one_defect_can_be_chosen(uri: str, tmp_path: Path, settings: ExporterSettings) -> None:
    """Images of other defects are neither written nor listed; the files of the chosen ones keep their names."""
    chosen = settings.model_copy(update={"defects": ("hole",)})

    folder = pull(Dataset(uri), tmp_path / "hole", settings=chosen)
    everything = pull(Dataset(uri), tmp_path / "all", settings=settings)

    assert {line["defect"] for line in lines(folder)} == {"hole"}
    own = {line["request_id"]: line for line in lines(everything)}
    assert all(line == own[line["request_id"]] | {"shard": line["shard"]} for line in lines(folder) if "shard" in line)
    assert all(line == own[line["request_id"]] for line in lines(folder) if "shard" not in line)
    assert len(b"".join(contents(folder).values())) < len(b"".join(contents(everything).values()))
    assert not any("crack-000000" in name for name in contents(folder))


def test_a_defect_that_is_not_there_is_refused(uri: str, tmp_path: Path, settings: ExporterSettings) -> None:
    """The message lists the defects of the dataset; nothing is written."""
    with pytest.raises(InputError, match=r"no such defect\. It has: crack, hole"):
        pull(Dataset(uri), tmp_path / "out", settings=settings.model_copy(update={"defects": ("dent",)}))
    assert not (tmp_path / "out").exists()


def test_other_settings_need_another_directory(uri: str, tmp_path: Path, settings: ExporterSettings) -> None:
    """Files of two choices never mix."""
    pull(Dataset(uri), tmp_path / "out", settings=settings.model_copy(update={"defects": ("hole",)}))

    with pytest.raises(InputError, match=r"defects is \['hole'\], not \[\]"):
        pull(Dataset(uri), tmp_path / "out", settings=settings)


def test_an_export_of_an_earlier_version_is_completed(uri: str, tmp_path: Path, settings: ExporterSettings) -> None:
    """Settings that it did not know count as their defaults, and only as those."""
    folder = pull(Dataset(uri), tmp_path / "out", settings=settings)
    marker = folder / "anogen-export.json"
    claim = json.loads(marker.read_text())
    for name in ("min_quality", "min_confidence"):
        del claim["settings"][name]
    marker.write_text(json.dumps(claim))

    with pytest.raises(InputError, match=r"min_quality is 0\.0, not 0\.5"):
        pull(Dataset(uri), tmp_path / "out", settings=settings.model_copy(update={"min_quality": 0.5}))
    assert pull(Dataset(uri), tmp_path / "out", settings=settings) == folder


@pytest.mark.parametrize("where", ["out/holiday.jpg", "out/bottle/holiday.jpg", "out/other/test/crack/0.png"])
def test_a_directory_with_something_else_is_left_alone(
    uri: str, tmp_path: Path, where: str, settings: ExporterSettings
) -> None:
    """A directory that holds anything but exports is refused, and nothing is written to it."""
    file = tmp_path / where
    file.parent.mkdir(parents=True)
    file.write_bytes(b"mine")

    with pytest.raises(InputError, match="not an export"):
        pull(Dataset(uri), tmp_path / "out", settings=settings)
    assert contents(tmp_path / "out") == {str(file.relative_to(tmp_path / "out")): b"mine"}


def test_several_categories_share_a_directory(
    uri: str, tmp_path: Path, settings: ExporterSettings, making: Any
) -> None:
    """A second category goes beside the first; another dataset of the same category does not replace it."""
    making.dataset(f"{tmp_path}/store/cap.zarr", name="cap-0001", category="cap")
    making.dataset(f"{tmp_path}/store/again.zarr", config_fingerprint="other", name="bottle-0002")
    pull(Dataset(uri), tmp_path / "out", settings=settings)

    pull(Dataset(f"{tmp_path}/store/cap.zarr"), tmp_path / "out", settings=settings)
    with pytest.raises(InputError, match="another dataset \\(bottle-0001\\)"):
        pull(Dataset(f"{tmp_path}/store/again.zarr"), tmp_path / "out", settings=settings)

    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["bottle", "cap"]


def test_a_file_as_destination_is_refused(uri: str, tmp_path: Path, settings: ExporterSettings) -> None:
    """The destination must be a directory."""
    (tmp_path / "file").write_text("x")

    with pytest.raises(InputError, match="is a file"):
        pull(Dataset(uri), tmp_path / "file", settings=settings)


def test_a_damaged_dataset_is_not_pulled(uri: str, tmp_path: Path, settings: ExporterSettings) -> None:
    """Damage stops the pull with an error instead of writing wrong pixels."""
    store = open_store(uri)
    store.put("image/c/0/0/0/0", store.read("image/c/0/0/0/0")[:-1] + b"x")

    with pytest.raises(StorageError, match="image/c/0"):
        pull(Dataset(uri), tmp_path / "out", settings=settings)


def test_an_unsealed_dataset_is_not_pulled(tmp_path: Path, settings: ExporterSettings, making: Any) -> None:
    """Pulling before the seal says what to do."""
    DatasetWriter(f"{tmp_path}/d.zarr", making.spec()).create()

    with pytest.raises(InputError, match="not sealed yet"):
        pull(Dataset(f"{tmp_path}/d.zarr"), tmp_path / "out", settings=settings)


def test_a_dataset_of_no_images_is_pulled(tmp_path: Path, settings: ExporterSettings, making: Any) -> None:
    """All documents are there, and say so."""
    making.dataset(f"{tmp_path}/none.zarr", num_requests=0)

    folder = pull(Dataset(f"{tmp_path}/none.zarr"), tmp_path / "out", settings=settings)

    assert lines(folder) == []
    assert not list(folder.rglob("*.png"))


def _rows(making: Any) -> Iterator[Any]:
    for number in range(2000):
        row = making.row(making.spec(), 0, uri="/photos")
        yield row.model_copy(update={"normal_sha256": f"{number // 2:064x}"})


def test_images_on_one_photo_are_in_one_split(making: Any) -> None:
    """The split is a function of the photo; about the stated share of photos is for validation."""
    splits = np.array([SplitSettings(validation_fraction=0.2).split(row) for row in _rows(making)])

    assert (splits[::2] == splits[1::2]).all()
    assert 0.16 < (splits == "val").mean() < 0.24
    assert {SplitSettings().split(row) for row in _rows(making)} == {"train"}


def test_a_larger_fraction_moves_photos_one_way(making: Any) -> None:
    """What is for validation at 0.2 still is at 0.4."""
    small, large = (SplitSettings(validation_fraction=fraction) for fraction in (0.2, 0.4))

    assert all(large.split(row) == "val" for row in _rows(making) if small.split(row) == "val")


def test_an_empty_split_is_told(uri: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A share so small that no photo falls into it."""
    pull(Dataset(uri), tmp_path / "out", settings=CocoExporterSettings(validation_fraction=1e-9))

    assert "no image is in val" in caplog.text


def test_file_names_are_safe_and_different_everywhere() -> None:
    """No name leaves its folder, is reserved, or differs from another in upper and lower case alone."""
    identifiers = ["a-1", "A-1", "../../etc", "con", "Con.b", "", "ä/ö", "ä_ö", "x" * 300, ".hidden", "fine_2.b"]

    names = safe_names(identifiers)

    assert names["fine_2.b"] == "fine_2.b"
    assert len({name.casefold() for name in names.values()}) == len(identifiers)
    assert all(len(n) <= 100 and "/" not in n and n and n[0] != "." and n.lower() != "con" for n in names.values())
    assert safe_names(reversed(identifiers)) == names
    assert not any("." in name for name in safe_names(identifiers, dots=False).values())


def test_a_file_that_does_not_fit_leaves_nothing_behind(tmp_path: Path) -> None:
    """What a full disk could not take whole is not left there, where it would take the space of the next attempt."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
    try:
        with pytest.raises(StorageError, match="File too large"):
            write_once(tmp_path / "folder" / "large.png", bytes(5000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)

    assert list((tmp_path / "folder").iterdir()) == []
