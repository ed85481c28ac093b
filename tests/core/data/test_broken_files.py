"""No file, however broken, makes the inspection raise."""

import io
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image as PillowImage

from anogen_core.data.frame import FrameSettings
from anogen_core.data.inspection import inspect_sample
from anogen_core.records import Sample

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:PIL")


def _encoded(fmt: str, **options: Any) -> bytes:
    stream = io.BytesIO()
    pixels = np.random.default_rng(9).integers(0, 256, (32, 48, 3), dtype=np.uint8)
    PillowImage.fromarray(pixels).save(stream, fmt, **options)
    return stream.getvalue()


def _upside_down() -> PillowImage.Exif:
    exif = PillowImage.Exif()
    exif[0x0112] = 3
    return exif


_VALID: dict[str, bytes] = {
    "png": _encoded("PNG"),
    "jpg": _encoded("JPEG", exif=_upside_down()),
    "bmp": _encoded("BMP"),
    "tif": _encoded("TIFF"),
    "lzw.tif": _encoded("TIFF", compression="tiff_lzw"),
    "progressive.jpg": _encoded("JPEG", progressive=True),
}


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Callable[[bytes], Sample]:
    """Return a function that writes bytes as the photo and the mask of one sample."""
    folder = tmp_path_factory.mktemp("fuzz")

    def write(content: bytes) -> Sample:
        for name in ("a.png", "m.png"):
            (folder / name).write_bytes(content)
        return Sample(
            sample_id="c/test/d/a",
            category="c",
            defect="d",
            split="test",
            image_uri=str(folder / "a.png"),
            mask_uri=str(folder / "m.png"),
            sha256="0",
        )

    return write


@given(content=st.binary(max_size=200))
@settings(max_examples=150, deadline=None)
def test_random_bytes_are_always_errors(scratch: Callable[[bytes], Sample], content: bytes) -> None:
    """No content makes the inspection raise or pass."""
    finding = inspect_sample(scratch(content), FrameSettings())

    assert [p.severity for p in finding.problems] == ["error"] * 2
    assert finding.size is None


@given(name=st.sampled_from(sorted(_VALID)), keep=st.floats(0, 0.97))
@settings(max_examples=200, deadline=None)
def test_a_file_cut_anywhere_is_an_error(scratch: Callable[[bytes], Sample], name: str, keep: float) -> None:
    """Wherever a copy broke off, photo and mask are both refused."""
    whole = _VALID[name]

    problems = inspect_sample(scratch(whole[: int(len(whole) * keep)]), FrameSettings()).problems

    assert sum(p.severity == "error" for p in problems) == 2


@given(name=st.sampled_from(sorted(_VALID)), data=st.data())
@settings(max_examples=300, deadline=None)
def test_damaged_bytes_never_raise(scratch: Callable[[bytes], Sample], name: str, data: st.DataObject) -> None:
    """Flipped bytes, in the header most of all, give problems or a photo, never an exception."""
    content = bytearray(_VALID[name])
    for _ in range(data.draw(st.integers(1, 8))):
        limit = data.draw(st.sampled_from([64, 256, len(content)]))
        content[data.draw(st.integers(0, limit - 1))] = data.draw(st.integers(0, 255))

    finding = inspect_sample(scratch(bytes(content)), FrameSettings(max_pixels=1_000_000))

    assert (finding.digest is None) == (finding.size is None)
    assert all(p.what and p.fix and str(p).encode() for p in finding.problems)
