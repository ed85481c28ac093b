"""The card of a dataset for people: what was made from what, under which licences, and what it is not good for."""

import json
import re
from collections.abc import Sequence
from typing import Any, Final

from anogen_core.records import LedgerRow, Outcome
from anogen_core.storage.manifest import count_made, count_outcomes, count_replacements
from anogen_core.storage.spec import DatasetSpec

NOT_STATED: Final = "not stated"

KNOWN_LIMITS: Final = (
    "The images are synthetic: for training, not for evaluation.",
    "Detectors must not be evaluated on the photos that defects were generated on either.",
    (
        "All images of a defect were learned from the same few photos: they vary less than real defects do, "
        "and scores on a validation share of them say little about real ones."
    ),
    (
        "A mask says where the defect was put. Unless it was refined, it is the whole shape given to the model, "
        "larger than the visible change; some changes are faint."
    ),
    "Outside the box mask every pixel is the real photo's: what can be seen in the photos can be seen here.",
    "A split keeps images on one photo together; photos of one physical part may still be on both sides.",
)
"""True of every dataset."""

_RESTRICTED = re.compile(
    r"non[\s_-]*commercial|(?<![a-z])nc(?![a-z])|research[\s_-]+(use[\s_-]+)?only|academic", re.IGNORECASE
)

_NOT_OF_THE_IMAGES = {"output", "root", "directory", "runner", "device", "detector", "evaluation"}
"""Settings that do not decide images, or name places of one machine."""


def is_non_commercial(licence: str) -> bool:
    """Return whether the words of a licence rule out commercial use, as far as words tell.

    Example:
        >>> is_non_commercial("CC BY-NC-SA 4.0"), is_non_commercial("CC BY-SA 4.0")
        (True, False)
    """
    return _RESTRICTED.search(licence) is not None


def licences(spec: DatasetSpec) -> dict[str, str]:
    """Return the licence of each thing that the images were made from."""
    return {"The real photos": spec.data_licence or NOT_STATED, "The base model": spec.base_model.licence or NOT_STATED}


def licence_warnings(spec: DatasetSpec) -> tuple[str, ...]:
    """Return what nobody who uses the images may overlook; empty when every licence is stated and permits commerce."""
    restricted = [f"{what}: {words}" for what, words in licences(spec).items() if is_non_commercial(words)]
    unknown = [what for what, words in licences(spec).items() if words == NOT_STATED]
    found = []
    if restricted:
        found.append(
            f"NON-COMMERCIAL USE ONLY. {'; '.join(restricted)}. Take the generated images to be bound by it as well."
        )
    if unknown:
        found.append(
            f"LICENCE NOT STATED: {', '.join(unknown).lower()}. Ask before you pass images on. The run file states it: "
            "`photos.licence`, `base_model.licence`."
        )
    return tuple(found)


def warning_lines(spec: DatasetSpec) -> str:
    """Return the warnings as Markdown, to stand first in a card; empty when there is none."""
    return "".join(f"> **{warning}**\n\n" for warning in licence_warnings(spec))


def counts_table(spec: DatasetSpec, rows: Sequence[LedgerRow]) -> str:
    """Return the images of each defect as a Markdown table; `label` counts from zero."""
    made = count_made(rows, spec.defects)
    lines = [f"| {number} | {name} | {made[name]} |" for number, name in enumerate(spec.defects)]
    return "\n".join(["| label | defect | images |", "|---|---|---|", *lines])


def sources_text(spec: DatasetSpec, rows: Sequence[LedgerRow]) -> str:
    """Return what images were made from: one sentence, for cards and machine metadata."""
    made = [row for row in rows if row.outcome is Outcome.MADE]
    photos, learned = len({row.normal_sha256 for row in made}), len({row.embedding_digest for row in made})
    model = spec.base_model
    return (
        f"{len(made)} images, made on {photos} real photo(s) of good parts (source: {spec.sources or NOT_STATED}) with "
        f"{learned} learned defect(s) (embeddings) and the base model {model.name} ({model.fingerprint})."
    )


def origin(spec: DatasetSpec, rows: Sequence[LedgerRow], digest: str) -> str:
    """Return the sections that every card of a dataset ends with, whatever its layout.

    Args:
        spec: Of the dataset.
        rows: Of all its planned requests.
        digest: Of the dataset.
    """
    outcomes, replacements = count_outcomes(rows), count_replacements(rows)
    settings = json.dumps(_without_places(spec.settings), indent=1, sort_keys=True)
    return _ORIGIN.format(
        spec=spec,
        sources=sources_text(spec, rows),
        licences="\n".join(f"* {what}: {words}" for what, words in licences(spec).items()),
        embeddings="\n".join(_embedding_lines(rows)),
        digest=digest,
        planned=len(rows),
        replaced=f" ({replacements} of them in place of filtered ones)" if replacements else "",
        ended=", ".join(f"{outcomes[outcome]} {outcome.value}" for outcome in Outcome),
        versions=", ".join(f"{name} {version}" for name, version in sorted(spec.code_versions.items())) or NOT_STATED,
        limits="\n".join(f"* {limit}" for limit in KNOWN_LIMITS),
        settings=settings,
    )


def dataset_card(spec: DatasetSpec, rows: Sequence[LedgerRow], digest: str) -> str:
    """Return the README.md of a sealed dataset."""
    return _CARD.format(
        spec=spec,
        warnings=warning_lines(spec),
        table=counts_table(spec, rows),
        origin=origin(spec, rows, digest),
    )


def _embedding_lines(rows: Sequence[LedgerRow]) -> list[str]:
    pairs = sorted({(row.defect, row.embedding_digest) for row in rows if row.outcome is Outcome.MADE})
    return [f"* {defect}: embedding `{digest}`" for defect, digest in pairs]


def _without_places(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_places(inner) for key, inner in value.items() if key not in _NOT_OF_THE_IMAGES}
    return value


_CARD = """# {spec.name}

{warnings}Synthetic images of defects in the category `{spec.category}`, made with AnoGen:
real photos of good parts with generated defects. Outside `box_mask` every pixel is the real photo's.

{table}

{origin}
## Read it

```python
import pyarrow.parquet as pq
import zarr

group = zarr.open_group("PATH", mode="r")
image, mask, label = group["image"][0], group["mask"][0], group["label"][0]
ledger = pq.read_table("PATH/samples.parquet").to_pylist()
```

`image` is RGB, `mask` and `box_mask` are 0 or 255 (255 is defective), `label` counts in the table above. `confidence`
says from 0 to 255 how sure each pixel of `mask` is.
`samples.parquet` has one row for every planned image, also for those that were not made, with the reason; its column
`row` is the index into the arrays. `manifest.json` lists every object with its sha256; `croissant.json` describes the
dataset for machines (Croissant, mlcommons.org/croissant).
"""

_ORIGIN = """## What it was made from

{sources}

{embeddings}

{licences}

## Which dataset

* `{spec.name}`, digest `{digest}`
* {spec.height} x {spec.width} pixels (height x width); of {planned} planned images{replaced}: {ended}.
* Configuration `{spec.config_fingerprint}`, format `{spec.format_version}`, code versions: {versions}

## Known limits

{limits}

## Settings

```json
{settings}
```
"""
