"""Is an image the same on another machine?

python benchmarks/machines.py DATASET [--images N]

Makes images of a sealed dataset again as processors of other classes would: with the instructions that PyTorch and
oneDNN may use held down to those of the class, and with one and two threads. Printed for each: how many images are
equal byte for byte, how many of all pixels inside masks differ, and by how many grey levels at most.
"""

import argparse
import json
import os
import subprocess
import sys

import numpy as np

from anogen_core.records import Outcome
from anogen_core.stages.regeneration import regenerate
from anogen_core.storage import Dataset

CLASSES = {
    "this machine, one thread": {"OMP_NUM_THREADS": "1"},
    "this machine, two threads": {"OMP_NUM_THREADS": "2"},
    "AVX-512 without AMX": {"OMP_NUM_THREADS": "1", "ONEDNN_MAX_CPU_ISA": "AVX512_CORE"},
    "AVX2": {"OMP_NUM_THREADS": "1", "ONEDNN_MAX_CPU_ISA": "AVX2", "ATEN_CPU_CAPABILITY": "avx2", "MKL_CBWR": "AVX2"},
    "SSE 4.1": {
        "OMP_NUM_THREADS": "1",
        "ONEDNN_MAX_CPU_ISA": "SSE41",
        "ATEN_CPU_CAPABILITY": "default",
        "MKL_CBWR": "COMPATIBLE",
    },
}


def main() -> None:
    """Print one line for each class."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset")
    parser.add_argument("--images", type=int, default=24)
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.worker:
        print(json.dumps(_compare(given.dataset, given.images)))
        return
    print("class | images | identical | pixels that differ | most, grey levels")
    for name, limits in CLASSES.items():
        command = [sys.executable, __file__, given.dataset, "--images", str(given.images), "--worker"]
        done = subprocess.run(command, env=os.environ | limits, check=True, stdout=subprocess.PIPE)  # noqa: S603
        found = json.loads(done.stdout)
        print(f"{name} | {found['images']} | {found['identical']} | {found['share']:.2%} | {found['most']}", flush=True)


def _compare(dataset: str, images: int) -> dict[str, float]:
    stored = Dataset(dataset)
    rows = [row for row in stored.ledger() if row.outcome is Outcome.MADE]
    chosen = [rows[i * len(rows) // images] for i in range(min(images, len(rows)))]
    identical, changed, inside, most = 0, 0, 0, 0
    for row in chosen:
        again = regenerate(dataset, row.request_id)
        difference = np.abs(again.image.astype(np.int16) - again.stored).max(axis=2)
        identical += again.identical
        changed += int((difference > 0).sum())
        inside += int((stored.box_mask(row.row) > 0).sum())
        most = max(most, int(difference.max()))
    return {"images": len(chosen), "identical": identical, "share": changed / inside, "most": most}


if __name__ == "__main__":
    main()
