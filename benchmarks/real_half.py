"""A run file whose support photos are all those of half of the parts: what would real defects teach a detector?

python benchmarks/real_half.py RUN.yaml INDEX.csv GROUP_COLUMN > REAL.yaml
anogen evaluate REAL.yaml --seeds 2 --set 'evaluation.arms=[support_only]'
python benchmarks/pooled.py OUTPUT_OF_RUN OUTPUT_OF_REAL

RUN.yaml names its support photos; the half of the parts that is drawn holds theirs, so both runs can be compared on the
photos of the other half. INDEX.csv has the columns image, class and GROUP_COLUMN, as those of the datasets of
docs/results.md.
"""

import argparse
import csv
import random
import sys
from collections import defaultdict
from pathlib import Path

import yaml


def main() -> None:
    """Write the run file to stdout."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run_file", type=Path)
    parser.add_argument("index", type=Path)
    parser.add_argument("group_column")
    asked = parser.parse_args()
    run = yaml.safe_load(asked.run_file.read_text())
    named = {defect: set(photos) for defect, photos in run["support"]["images"].items()}
    with asked.index.open() as lines:
        rows = [row for row in csv.DictReader(lines) if row["class"] in named and row["split"] == "test"]
    groups: dict[str, set[str]] = defaultdict(set)
    for row in rows:
        groups[row["class"]].add(row[asked.group_column])
    half = {row[asked.group_column] for row in rows if Path(row["image"]).name in named[row["class"]]}
    drawn = random.Random(0)
    for of_defect in groups.values():
        others = sorted(of_defect - half)
        drawn.shuffle(others)
        half |= set(others[: max(0, len(of_defect) // 2 - len(of_defect & half))])
    photos: dict[str, list[str]] = defaultdict(list)
    for row in rows:
        if row[asked.group_column] in half:
            photos[row["class"]].append(Path(row["image"]).name)
    run["support"] = {"images": dict(photos)}
    yaml.safe_dump(run, sys.stdout)


if __name__ == "__main__":
    main()
