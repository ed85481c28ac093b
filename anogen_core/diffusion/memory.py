"""What to do where memory is short: a batch goes through a network in smaller parts."""

import logging
import re
from collections.abc import Callable
from typing import Final, final

import torch

_SHORTAGE: Final = re.compile(r"DefaultCPUAllocator|could not create a (memory object|primitive)$")
"""What PyTorch and oneDNN say where main memory is too short; for that of devices PyTorch has a class of errors."""

log = logging.getLogger(__name__)


@final
class Portions:
    """Does work on a batch: whole, and from where memory is short in halves, quarters and so on, down to one sample.

    Args:
        work: What is done, for the log.
    """

    def __init__(self, work: str) -> None:
        self._work = work
        self._most: int | None = None

    def run(self, count: int, work: Callable[[int, int], None]) -> None:
        """Call `work(start, stop)` for portions that together are range(count).

        Args:
            count: Samples of the batch.
            work: May leave no trace when it runs out of memory: it is then called with fewer samples.

        Raises:
            RuntimeError: one sample alone needs more memory than there is; a MemoryError likewise.
        """
        done = 0
        while done < count:
            size = min(self._most or count, count - done)
            try:
                work(done, done + size)
            except (RuntimeError, MemoryError) as error:
                if size == 1 or not is_short_of_memory(error):
                    raise
                # Another thread may have found even less to fit meanwhile.
                self._most = min(size // 2, self._most or size)
                log.warning("Memory is short: %s takes at most %d at once from here on.", self._work, self._most)
            else:
                done += size

    def map(self, function: Callable[..., torch.Tensor], *batches: torch.Tensor) -> torch.Tensor:
        """Return `function(*batches)`, whose rows depend each on the same rows of the batches alone."""
        parts: list[torch.Tensor] = []
        self.run(len(batches[0]), lambda start, stop: parts.append(function(*(batch[start:stop] for batch in batches))))
        return parts[0] if len(parts) == 1 else torch.cat(parts)


def is_short_of_memory(error: Exception) -> bool:
    """Return whether a device or the host had too little memory; less at once may fit."""
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or _SHORTAGE.search(str(error)) is not None
