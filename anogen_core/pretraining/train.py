"""Train a base model from settings in a file; `torchrun -m anogen_core.pretraining.train` shares it among processes."""

import argparse
import logging
import math
from pathlib import Path

import torch

from anogen_core.errors import InputError
from anogen_core.pretraining.deadline import deadline_in
from anogen_core.pretraining.files import read_settings
from anogen_core.pretraining.pretrain import Place, PretrainingSettings, pretrain


def train(
    work: Path,
    out: Path,
    *,
    start: Path | None = None,
    photos: Path | None = None,
    settings: Path | None = None,
    minutes: float = math.inf,
    device: str = "auto",
) -> Path | None:
    """Train a base model and return its directory; None where the time was up before there was one.

    A run that was stopped or killed resumes from what `work` holds.

    Args:
        work: Corpus, checkpoints and contact sheets.
        out: Directory of the exported pipeline.
        start: Pipeline whose weights are the starting point; random weights when left out.
        photos: Directory of normal photos that join the rendered scenes.
        settings: YAML with the fields of `PretrainingSettings` that differ from the defaults.
        minutes: It stops after this time, whatever it does; running again goes on.
        device: Torch device; `auto` takes a GPU when PyTorch sees one.

    Raises:
        InputError: the settings, the photos or the starting point cannot be used, or `work` holds another training.
        TrainingError: the loss is not a finite number.
    """
    deadline = deadline_in(minutes)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", force=True)
    if start is not None and not (start / "model_index.json").is_file():
        raise InputError(f"{start}: holds no model_index.json. Expected a pipeline that this command wrote.")
    if start is not None and start.resolve() == out.resolve():
        raise InputError(
            f"--out {out}: is the starting point, which is still needed to resume. Name another directory."
        )
    chosen = "cuda" if device == "auto" and torch.cuda.is_available() else device.replace("auto", "cpu")
    if torch.distributed.is_torchelastic_launched():
        torch.distributed.init_process_group("gloo")
    # Crops have three sizes in all: the best kernels for each are found once.
    torch.backends.cudnn.benchmark = True
    place = Place(work=work, out=out, device=torch.device(chosen), deadline=deadline, start=start)
    return pretrain(read_settings(PretrainingSettings, settings, photos), place)


def main() -> None:
    """Parse the arguments of `torchrun ... -m anogen_core.pretraining.train`; `anogen pretrain` has the same."""
    parser = argparse.ArgumentParser(description="Train a base model.")
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    # Not `--start`: torchrun takes that for an abbreviation of its own option.
    parser.add_argument("--warm-start", dest="start", type=Path)
    parser.add_argument("--photos", type=Path)
    parser.add_argument("--settings", type=Path)
    parser.add_argument("--minutes", type=float, default=math.inf)
    parser.add_argument("--device", default="auto")
    train(**vars(parser.parse_args()))


if __name__ == "__main__":
    main()
