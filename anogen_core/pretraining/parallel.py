"""One training in several processes, each with its own crops (see `torchrun`); alone, every call does nothing."""

from collections.abc import Iterable

import torch
from torch import distributed, nn


def rank() -> int:
    """Return the number of this process in the group; 0 is the one that writes files."""
    return distributed.get_rank() if distributed.is_initialized() else 0


def average_gradients(parameters: Iterable[nn.Parameter]) -> None:
    """Replace each gradient by its mean over the processes, in one message."""
    if not distributed.is_initialized():
        return
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    flat = torch.cat([gradient.flatten() for gradient in gradients])
    distributed.all_reduce(flat)
    flat /= distributed.get_world_size()
    means = torch.split(flat, [gradient.numel() for gradient in gradients])
    for gradient, mean in zip(gradients, means, strict=True):
        gradient.copy_(mean.view_as(gradient))


def agree(decision: bool) -> bool:  # noqa: FBT001 - it is the value that travels
    """Return the decision of process 0 in every process."""
    if not distributed.is_initialized():
        return decision
    flag = torch.tensor([int(decision)], dtype=torch.uint8)
    distributed.broadcast(flag, src=0)
    return bool(flag.item())


def wait_for_all() -> None:
    """Return when every process has come here."""
    if distributed.is_initialized():
        distributed.barrier()
