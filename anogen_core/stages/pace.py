"""How long work takes on this machine, measured before any of it is done."""

import time

import torch

from anogen_core.config import RunConfig
from anogen_core.stages.catalogue import Category
from anogen_core.stages.runtime import base_model
from anogen_core.storage.shard import IMAGE_LEVEL, encode_chunk

_MEASURED_SECONDS, _MOST_MEASURED = 2.0, 10
"""How long, and how often at most, a step of the base model is measured."""


def measure_photo(category: Category) -> tuple[float, int]:
    """Return the seconds that reading and encoding a photo of a category takes, and its bytes as stored."""
    started = time.perf_counter()
    photo = category.load(category.normals[0])
    size = len(encode_chunk(photo, IMAGE_LEVEL))
    return time.perf_counter() - started, size


def seconds_per_forward(config: RunConfig) -> float:
    """Return the time of one noise prediction for one sample at the run's batch size.

    The least of a few: whatever else the machine does at this moment makes single ones many times as long.
    """
    model, settings = base_model(config), config.generation
    text = model.condition([""]).expand(settings.batch_size, -1, -1)
    side = settings.crop.canvas or model.resolution
    blank = torch.zeros(settings.batch_size, 3, side, side)
    latents = model.encode(blank)
    timestep = torch.zeros(settings.batch_size, dtype=torch.long, device=model.device)
    around = model.surroundings(blank, torch.ones_like(latents[:, :1]), latents)
    with torch.no_grad():
        model.predict_noise(latents, timestep, text, around)
        seconds: list[float] = []
        while not seconds or (sum(seconds) < _MEASURED_SECONDS and len(seconds) < _MOST_MEASURED):
            started = time.perf_counter()
            model.predict_noise(latents, timestep, text, around)
            seconds.append(time.perf_counter() - started)
        return min(seconds) / settings.batch_size
