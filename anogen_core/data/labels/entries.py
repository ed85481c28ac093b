"""What a file that is about many photos says of each."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from anogen_core.data.inventory import names_good
from anogen_core.data.labels.drawing import Drawing

_SHOWN = 3
_COUNT_AS = "such photos are what their folder says, without one normal."


@dataclass(frozen=True)
class Entry:
    """What is drawn on one photo."""

    names: tuple[str, ...]
    """What the photo may be called, the likeliest first: paths or file names."""
    defects: frozenset[str]
    draw: Callable[[Drawing], None]
    """Adds the shapes; raises a `ShapeError` where that cannot be done."""


@dataclass(frozen=True)
class Entries:
    """What is drawn on all photos of which there are shapes."""

    entries: list[Entry]
    remarks: list[str] = field(default_factory=list)
    """What is not read and should be known: sentences whose subject is the file."""


def remark_on_classes(kind: str, classes: Mapping[str, Sequence[str]]) -> list[str]:
    """Return the remark that classes of whole photos without shapes are not read; none where all are names of good.

    Args:
        kind: What the tool calls such classes.
        classes: Those of each photo.
    """
    told = {photo: [name for name in own if not names_good(name)] for photo, own in classes.items()}
    photos = [photo for photo, own in told.items() if own]
    if not photos:
        return []
    names = sorted({name for own in told.values() for name in own})
    shown = ", ".join(names[:_SHOWN]) + ", ..." * (len(names) > _SHOWN)
    has = f"has {kind} ({shown}) of {len(photos)} photos on which nothing is drawn (first: {photos[0]})"
    return [f"{has}: {kind} are not read, and {_COUNT_AS}"]


def remark_on_unseen(photos: Sequence[str]) -> list[str]:
    """Return the remark that nobody said what photos show; none without such photos."""
    if not photos:
        return []
    says = f"says of {len(photos)} photos that they were skipped or not annotated (first: {photos[0]})"
    return [f"{says}: {_COUNT_AS}"]
