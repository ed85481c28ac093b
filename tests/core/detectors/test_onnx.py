"""Detectors as ONNX: the same answers in onnxruntime, for any number of photos, with what a reader needs to know."""

import json

import numpy as np
import onnx
import onnxruntime
import pytest

from anogen_core.detectors import DetectorSettings
from anogen_core.detectors.destseg import DestsegSettings
from anogen_core.detectors.draem import DraemSettings
from anogen_core.detectors.fpn import FpnSettings
from anogen_core.detectors.onnx_file import compare_onnx, to_onnx
from anogen_core.detectors.trained import TrainedDetector
from anogen_core.errors import InputError
from anogen_core.seeding import numpy_generator, torch_generator

SIDE = 64


@pytest.mark.slow
@pytest.mark.parametrize(
    "settings",
    [
        DraemSettings(reconstructive_width=4, discriminative_width=4, image_size=SIDE, steps=1),
        DestsegSettings(image_size=SIDE, steps=2),
        FpnSettings(image_size=SIDE, steps=2),
    ],
    ids=["draem", "destseg", "fpn"],
)
def test_onnxruntime_gives_pytorchs_answers(settings: DetectorSettings) -> None:
    """Maps and scores agree to rounding, for one photo and for several; the metadata can be read back."""
    detector = settings.build()
    detector.initialise(torch_generator(1))
    trained = TrainedDetector(settings, detector.eval(), {})
    photos = numpy_generator(0).integers(0, 256, (5, SIDE, SIDE, 3), dtype=np.uint8)

    data = to_onnx(trained, {"threshold": 0.25, "category": "tile"})

    assert compare_onnx(data, photos, trained.predict(photos)) < 1e-5
    assert compare_onnx(data, photos[:1], trained.predict(photos[:1])) < 1e-5
    session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
    scores, maps = session.run(["score", "anomaly_map"], {"photo": photos})
    assert scores.shape == (5,)
    assert maps.shape == (5, SIDE, SIDE)
    assert json.loads(session.get_modelmeta().custom_metadata_map["anogen"])["threshold"] == 0.25
    onnx.checker.check_model(onnx.load_from_string(data))


def test_a_missing_package_is_one_message(monkeypatch: pytest.MonkeyPatch) -> None:
    """The message says how to install it."""
    monkeypatch.setitem(__import__("sys").modules, "onnx", None)
    settings = DraemSettings(reconstructive_width=4, discriminative_width=4, image_size=SIDE, steps=1)
    trained = TrainedDetector(settings, settings.build().eval(), {})

    with pytest.raises(InputError, match=r"onnx is not installed.*anogen\[onnx\]"):
        to_onnx(trained, {})
