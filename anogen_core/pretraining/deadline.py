"""One time by which all of a training stops, and what is left until then."""

import math
import time

NEVER = math.inf
"""The deadline of a training that nothing stops."""


def deadline_in(minutes: float) -> float:
    """Return the time in `minutes` from here, in seconds of `time.monotonic()` as every deadline."""
    return time.monotonic() + 60 * minutes


def is_over(deadline: float) -> bool:
    """Return whether a deadline has come."""
    return not time.monotonic() < deadline


def minutes_left(remaining: int, rate: float, deadline: float) -> float:
    """Return the time in minutes for the `remaining` ones at `rate` per second, or to the deadline if that is less."""
    return max(0.0, min(remaining / rate, deadline - time.monotonic())) / 60
