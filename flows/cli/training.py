"""`anogen pretrain`: a base model of one's own."""

from pathlib import Path

from anogen_core.diffusion.stable_diffusion import BUNDLED
from anogen_core.pretraining.train import train


def pretrain(
    work: Path,
    out: Path,
    *,
    photos: Path | None,
    start: Path | None,
    settings: Path | None,
    minutes: float,
    device: str,
) -> None:
    """Train a base model and say how a run file names it."""
    begin = BUNDLED if start == Path("bundled") else start
    directory = train(work, out, start=begin, photos=photos, settings=settings, minutes=minutes, device=device)
    if directory is None:
        print("The time was up before there was a model to export. The same command goes on from there.")
        return
    print(f"base_model: {{kind: stable_diffusion, directory: {directory.resolve()}}}")
