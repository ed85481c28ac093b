"""The README.md inside a sealed dataset."""

from collections.abc import Mapping

from anogen_core.records import Outcome
from anogen_core.storage.spec import DatasetSpec

_NOT_STATED = "not stated"


def dataset_card(spec: DatasetSpec, outcomes: Mapping[Outcome, int], made: Mapping[str, int], digest: str) -> str:
    """Return the card: what the dataset is, what it was made from, under which licences, and how to read it."""
    defects = "\n".join(f"| {number} | {name} | {made[name]} |" for number, name in enumerate(spec.defects))
    ended = ", ".join(f"{outcomes[outcome]} {outcome.value}" for outcome in Outcome)
    return _CARD.format(
        spec=spec,
        digest=digest,
        defects=defects,
        ended=ended,
        num_images=outcomes[Outcome.MADE],
        data_licence=spec.data_licence or _NOT_STATED,
        sources=spec.sources or _NOT_STATED,
    )


_CARD = """# {spec.name}

Synthetic images of defects in the category `{spec.category}`, made with AnoGen: real photos of good parts, each with
one generated defect. Outside `box_mask` every pixel is the real photo's.

| label | defect | images |
|---|---|---|
{defects}

* {num_images} images of {spec.height} x {spec.width} pixels (height x width); of {spec.num_requests} planned: {ended}.
* Digest: `{digest}`
* Configuration: `{spec.config_fingerprint}`; format: `{spec.format_version}`
* Base model: {spec.base_model.name} (`{spec.base_model.fingerprint}`), licence: {spec.base_model.licence}
* Licence of the real photos: {data_licence}; source: {sources}

## Read it

```python
import pyarrow.parquet as pq
import zarr

group = zarr.open_group("PATH", mode="r")
image, mask, label = group["image"][0], group["mask"][0], group["label"][0]
ledger = pq.read_table("PATH/samples.parquet").to_pylist()
```

`image` is RGB, `mask` and `box_mask` are 0 or 255 (255 is defective), `label` counts in the table above.
`samples.parquet` has one row for every planned image, also for those that were not made, with the reason; its column
`row` is the index into the arrays. `manifest.json` lists every object with its sha256.
"""
