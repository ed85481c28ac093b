"""Try again until a deadline, with full jitter, so that many workers do not come back at the same moment."""

import logging
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from anogen_core.stopping import pause

log = logging.getLogger(__name__)

T = TypeVar("T")


@dataclass(frozen=True)
class Retry:
    """How long to go on."""

    deadline: float = 180.0
    """Seconds after which the last error is final."""
    first_wait: float = 0.25
    """Upper bound of the first pause in seconds; it doubles with every attempt."""
    longest_wait: float = 10.0
    """Upper bound of any pause in seconds."""
    client_attempts: int = 4
    """Attempts inside the S3 client, which are silent; counted as one here."""

    def run(self, operation: Callable[[], T], *, passes: Callable[[Exception], bool], what: str) -> T:
        """Return the operation's result.

        Args:
            operation: Something that may be done twice.
            passes: Whether an error may go away by itself.
            what: Names the operation in the log.

        Raises:
            InterruptedRunError: the process was asked to stop, and the operation did not succeed at once.
        """
        started, attempt = time.monotonic(), 0
        while True:
            try:
                return operation()
            except Exception as error:
                left = self.deadline - (time.monotonic() - started)
                if not passes(error) or left <= 0:
                    raise
                log.warning("%s: %s; trying again for %.0f s", what, error, left)
            wait = random.SystemRandom().uniform(0, min(self.longest_wait, self.first_wait * 2**attempt))
            pause(min(wait, left))
            attempt += 1
