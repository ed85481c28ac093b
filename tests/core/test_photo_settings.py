"""What a run file says of its photos."""

from types import SimpleNamespace
from typing import Any

from anogen_core.config import parse_config
from anogen_core.masks.foreground import ForegroundSettings
from anogen_core.masks.product import Product
from anogen_core.records import ConceptEmbedding, SupportSet
from anogen_core.stages import recipe


def test_licence_and_source_reach_the_dataset_and_leave_its_identity_alone() -> None:
    """The spec carries them; a dataset made with and without them is the same one."""
    values = {"output": "out", "reader": {"kind": "mvtec", "root": "photos"}}
    support = SupportSet(category="bolt", defect="cut", samples=())
    learned = ConceptEmbedding(
        category="bolt", defect="cut", uri="-/embedding-0", digest="0", base_model="-", num_vectors=1, support_sha256=()
    )
    category: Any = SimpleNamespace(name="bolt", frame=(64, 64), normals=(), supports=(support,), framed_mixed=False)
    product = Product(settings=ForegroundSettings(method="full"))
    photos = {"licence": "CC BY-NC 4.0", "source": "line 4"}

    stated, silent = (
        recipe.spec_of(parse_config({**values, "photos": said}, source="test"), category, product, [learned], size=0)
        for said in (photos, {})
    )

    assert (stated.data_licence, stated.sources) == ("CC BY-NC 4.0", "line 4")
    assert (silent.data_licence, silent.sources) == (None, None)
    assert stated.identity() == silent.identity()
    assert stated.recipes == silent.recipes != {}
