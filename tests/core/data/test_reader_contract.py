"""What every reader promises. A new reader adds one line to `_READERS`."""

import hashlib
from pathlib import Path

import pytest

from anogen_core.data import (
    DagmReaderSettings,
    FolderReaderSettings,
    MvtecReaderSettings,
    ReaderSettings,
    VisaReaderSettings,
)

_READERS: dict[str, type[ReaderSettings]] = {
    "mvtec_root": MvtecReaderSettings,
    "ad2_root": MvtecReaderSettings,
    "loco_root": MvtecReaderSettings,
    "folder_root": FolderReaderSettings,
    "visa_root": VisaReaderSettings,
    "dagm_root": DagmReaderSettings,
}


@pytest.fixture(params=sorted(_READERS))
def reader(request: pytest.FixtureRequest) -> ReaderSettings:
    """Return the settings of each reader on a small healthy dataset."""
    root: Path = request.getfixturevalue(request.param)
    return _READERS[request.param](root=str(root))


def test_samples_are_sorted_unique_and_stable(reader: ReaderSettings) -> None:
    """Two reads give the same list, sorted by unique ids that name category, split and defect."""
    samples = reader.build().read()

    ids = [sample.sample_id for sample in samples]
    assert ids == sorted(set(ids))
    assert samples == reader.build().read()
    assert all(s.sample_id.startswith(f"{s.category}/{s.split}/{s.defect}/") for s in samples)


def test_samples_carry_the_digest_of_their_file(reader: ReaderSettings) -> None:
    """The sha256 is of the bytes at an absolute path."""
    for sample in reader.build().read():
        path = Path(sample.image_uri)
        assert path.is_absolute()
        assert sample.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


def test_defective_photos_are_test_photos_with_labels(reader: ReaderSettings) -> None:
    """Training sees normal photos alone."""
    samples = reader.build().read()

    assert {s.defect for s in samples if s.split == "train"} == {"good"}
    assert all(s.is_labelled == (s.defect != "good") for s in samples)


def test_reading_decodes_nothing(reader: ReaderSettings) -> None:
    """A photo that is no image is still a sample; finding that out is the audit's part."""
    before = reader.build().read()
    Path(before[0].image_uri).write_bytes(b"no image")

    after = reader.build().scan()

    assert [s.image_uri for s in after.samples] == [s.image_uri for s in before]
    assert [p for p in after.problems if p.severity == "error"] == []


def test_settings_survive_json(reader: ReaderSettings) -> None:
    """What a run file says comes back equal, with the same fingerprint."""
    again = type(reader).model_validate_json(reader.model_dump_json())

    assert again == reader
    assert again.fingerprint() == reader.fingerprint()


def test_every_setting_is_documented(reader: ReaderSettings) -> None:
    """Each field but `kind` has a docstring."""
    assert all(field.description for name, field in type(reader).model_fields.items() if name != "kind")
