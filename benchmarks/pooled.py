"""Arms compared over several choices of support photos: what a single comparison leaves to the luck of three photos.

python benchmarks/pooled.py OUTPUT OUTPUT [...] [--arms ARM ARM]

Each OUTPUT is that of a finished `anogen evaluate` on the same data, with the same arms and seeds and other support
photos; or outputs with other arms (see real_half.py). `--arms` takes some of them. Every arm has a detector for each
choice and seed; all are measured on the photos that are tested in every OUTPUT. Printed are means and differences with
95 % intervals of `anogen_core/metrics/comparison.py`: drawn over groups of photos and over the detectors, of which
those of one choice count as independent of each other.
"""

import argparse
from collections import Counter
from pathlib import Path

import numpy as np

from anogen_core.evaluation import ArmEstimates, Estimate, Trial
from anogen_core.metrics.comparison import compare_arms
from anogen_core.metrics.predictions import Predictions
from anogen_core.stages.result import read_result
from anogen_core.storage.artifacts import ArtifactStore

METRICS = ("image_ap", "pixel_ap", "pixel_ap_macro", "pixel_aupro", "pixel_iap", "image_auroc", "pixel_auroc")
SEEDS = 1000
"""Seeds of a choice are below this, so that those of all choices can be told apart by one number."""


def main() -> None:
    """Print a line for each arm and each difference of every category."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("outputs", nargs="+", type=Path)
    parser.add_argument("--arms", nargs="+")
    asked = parser.parse_args()
    by_category: dict[str, dict[Trial, Predictions]] = {}
    choices: Counter[tuple[str, str]] = Counter()
    for output in asked.outputs:
        artifacts = ArtifactStore.of_run(output)
        for made in read_result(str(output)).categories:
            evaluations = [said for said in made.evaluations if asked.arms is None or said.arm in asked.arms]
            for said in evaluations:
                trial = Trial(arm=said.arm, seed=choices[made.category, said.arm] * SEEDS + said.seed)
                stored = Predictions.from_bytes(artifacts.read(str(said.predictions), "predictions.npz"))
                by_category.setdefault(made.category, {})[trial] = stored
            choices.update({(made.category, said.arm) for said in evaluations})
    for category, trials in by_category.items():
        common = sorted(set.intersection(*(set(p.sample_id.tolist()) for p in trials.values())))
        chosen = ((trial, _choose(predictions, common)) for trial, predictions in trials.items())
        compared = compare_arms(chosen, replicates=1000, seed=0, category=category)
        print(f"{category}: {compared.num_images} photos, {len(compared.seeds)} detectors for each arm")
        print("arm", *METRICS, sep=" | ")
        for arm in (*compared.arms, *compared.differences):
            print(_name(arm), *(_shown(arm.metrics[name]) for name in METRICS), sep=" | ")
        print("arm, pixel AP of", *compared.arms[0].per_defect, sep=" | ")
        for arm in (*compared.arms, *compared.differences):
            print(_name(arm), *(_shown(found["pixel_ap"]) for found in arm.per_defect.values()), sep=" | ")


def _choose(predictions: Predictions, sample_ids: list[str]) -> Predictions:
    place = {name: row for row, name in enumerate(predictions.sample_id.tolist())}
    rows = np.array([place[name] for name in sample_ids])
    return predictions.take(rows)


def _name(arm: ArmEstimates) -> str:
    return arm.arm if arm.against is None else f"{arm.arm} - {arm.against}"


def _shown(found: Estimate | None) -> str:
    return "n/a" if found is None else f"{found.value:.3f} [{found.low:.3f}, {found.high:.3f}]"


if __name__ == "__main__":
    main()
