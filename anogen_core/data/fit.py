"""Whether a photo fits the frame as others do: of like proportions, and not far smaller."""

from pathlib import Path

from anogen_core.data.problems import Problem, warning

_SQUEEZED = 1.5
"""Factor between the proportions of two photos from which squeezing one into the frame of the other shows."""
_ENLARGED = 2
"""Factor from which enlarging a photo to the frame shows."""


def is_squeezed(size: tuple[int, int], usual: float) -> bool:
    """Return whether a photo of (height, width) is squeezed much more than those of the usual height / width."""
    return not 1 / _SQUEEZED < size[0] / size[1] / usual < _SQUEEZED


def fit_problems(
    path: Path, size: tuple[int, int], *, category: str, frame: tuple[int, int], usual: tuple[int, int]
) -> list[Problem]:
    """Return a warning about a photo that becomes another than those the frame is for.

    Args:
        path: The photo.
        size: Its (height, width) as stored, in pixels.
        category: What it is a photo of.
        frame: (height, width) that it is resized to.
        usual: (height, width) as stored of most photos of the category.
    """
    said = f"is {size[0]}x{size[1]} (height x width) while most photos of {category} are {usual[0]}x{usual[1]}:"
    into = f"the frame of {frame[0]}x{frame[1]}."
    if is_squeezed(size, usual[0] / usual[1]):
        return [warning(path, f"{said} it is squeezed into {into}", fix="Turn or cut it like those.")]
    if any(_ENLARGED * side < min(wanted) for side, *wanted in zip(size, frame, usual, strict=True)):
        return [warning(path, f"{said} it is enlarged to {into}", fix="Give the photo as the camera took it.")]
    return []
