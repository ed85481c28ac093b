"""Command line of the pretraining: `python -m anogen_core.pretraining.train --work DIR --out DIR`."""

import argparse
import logging
import math
from pathlib import Path

import torch
import yaml

from anogen_core.pretraining.pretrain import Place, PretrainingSettings, pretrain


def main() -> None:
    """Train a base model; a killed run resumes from its last checkpoint in --work.

    Started by `torchrun --nproc-per-node N -m anogen_core.pretraining.train`, N processes share the work.
    """
    parser = argparse.ArgumentParser(description=main.__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True, help="corpus, checkpoints and contact sheets")
    parser.add_argument("--out", type=Path, required=True, help="directory of the exported pipeline")
    parser.add_argument(
        "--warm-start", type=Path, help="pipeline whose weights are the starting point (default: random)"
    )
    parser.add_argument("--settings", type=Path, help="YAML with the settings that differ from the defaults")
    parser.add_argument(
        "--minutes", type=float, default=math.inf, help="stop the denoiser after this time (default: train all steps)"
    )
    parser.add_argument(
        "--device", default="cuda" if torch.cuda.is_available() else "cpu", help="torch device (default: %(default)s)"
    )
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", force=True)
    given = yaml.safe_load(arguments.settings.read_text()) if arguments.settings else {}
    if torch.distributed.is_torchelastic_launched():
        torch.distributed.init_process_group("gloo")
    place = Place(
        work=arguments.work,
        out=arguments.out,
        device=torch.device(arguments.device),
        minutes=arguments.minutes,
        start=arguments.warm_start,
    )
    pretrain(PretrainingSettings.model_validate(given or {}), place)


if __name__ == "__main__":
    main()
