"""Where everything is: the keys of a sealed dataset and of its parts before the seal.

<name>.zarr/                      exists once the dataset is sealed; its root is a Zarr v3 group
zarr.json                       written last
image/ box_mask/ mask/ confidence/   zarr.json and c/<shard>/0/0...
label/ seed/                    zarr.json and c/0
filtered/<shard>.png            a picture of what gates filtered, for shards of work that have any
samples.parquet manifest.json README.md croissant.json
<name>.parts/                     exists until the dataset is sealed
dataset.json                    the spec, create-only
data/<shard>/<attempt>/         image, box_mask, mask, confidence, ledger.json, filtered.png if anything was
commits/<shard>.json            create-only, written last
<name>.verdicts/                  what reviewers said; the dataset itself never changes
<digest>/<session>-<number>.jsonl   one verdict a line; each session writes objects of its own
"""

from typing import Final

from anogen_core.storage.shard import IMAGE_LEVEL, MASK_LEVEL

PIXEL_ARRAYS: Final = {"image": IMAGE_LEVEL, "box_mask": MASK_LEVEL, "mask": MASK_LEVEL, "confidence": MASK_LEVEL}
"""The arrays of pixels and the compression level of each."""
MASKS: Final = ("box_mask", "mask")
"""The arrays whose values are 0 and 255 alone."""

ROOT: Final = "zarr.json"
MANIFEST: Final = "manifest.json"
SAMPLES: Final = "samples.parquet"
CARD: Final = "README.md"
CROISSANT: Final = "croissant.json"

SPEC: Final = "dataset.json"
COMMITS: Final = "commits"
LEDGER_PART: Final = "ledger.json"
FILTERED_PART: Final = "filtered.png"
PROBE: Final = "probe"


def chunk_key(array: str, number: int) -> str:
    """Return the key of one stored shard of a pixel array, or of the only chunk of a small array."""
    zeros = "" if array not in PIXEL_ARRAYS else "/0/0/0" if array == "image" else "/0/0"
    return f"{array}/c/{number}{zeros}"


def attempt_folder(shard: int, attempt: str) -> str:
    """Return the folder of one attempt at a shard of work."""
    return f"data/{shard:06d}/{attempt}"


def filtered_key(shard: int) -> str:
    """Return the key of the picture of what gates filtered in a shard of work."""
    return f"filtered/{shard:06d}.png"


def commit_key(shard: int) -> str:
    """Return the key of the commit record of a shard of work."""
    return f"{COMMITS}/{shard:06d}.json"
