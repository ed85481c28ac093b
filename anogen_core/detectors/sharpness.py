"""How large defects are where a detector sees them, and at which size of its square they are large enough."""

import math

SEEN = 2.0
"""Side in pixels of the smallest square that a detector can tell from noise."""
CLEAR = 8.0
"""Side below which what a detector says of a defect gets much better with a larger square."""
_STEP = 32
_LARGEST = 1024
"""Beyond it whole photos take too long to look at."""


def shown_side(share: float, image_size: int) -> float:
    """Return the side in pixels of the square as large as a defect.

    Args:
        share: Of the photo's area that the defect covers.
        image_size: Side in pixels of the square that photos are resized to.
    """
    return math.sqrt(share) * image_size


def clear_size(share: float, frame: tuple[int, int]) -> int:
    """Return the `image_size` at which a defect is large enough, or all that the photos show.

    Args:
        share: Of the photo's area that the defect covers, greater than 0.
        frame: Height and width of the photos in pixels.
    """
    wanted = min(CLEAR / math.sqrt(share), max(frame), _LARGEST)
    return math.ceil(wanted / _STEP) * _STEP
