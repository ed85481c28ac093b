"""The name of an arm: what a detector learns anomalies from, beside the Perlin noise that every arm has."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated, Any, Literal, cast, get_args

from pydantic import AfterValidator, Field

Source = Literal["perlin", "support_only", "cutpaste", "generated", "generated_box", "generated_mask"]

PERLIN: Source = "perlin"
"""No anomaly but Perlin noise."""

FROM_DATASET: frozenset[Source] = frozenset({"generated", "generated_box", "generated_mask"})
"""Sources that are the images of a dataset; they differ in the label."""

COUNTED: frozenset[Source] = FROM_DATASET | {"cutpaste"}
"""Sources with as many anomalies as a dataset has images: an amount may be asked of them."""

_SHAPE = r"^[a-z_]+(:[1-9][0-9]*)?(\+[a-z_]+(:[1-9][0-9]*)?)*$"


@dataclass(frozen=True)
class Part:
    """One source of an arm."""

    source: Source
    amount: int | None = None
    """Images of it, spread evenly over the defects; None for all."""


def parse_arm(arm: str) -> tuple[Part, ...]:
    """Return the parts of `generated`, `generated:50` (50 images of it) or `cutpaste+generated:50` (a mixture).

    Raises:
        ValueError: there is no such source, it stands twice, or it cannot be mixed or counted.
    """
    parts = tuple(_parse_part(part) for part in arm.split("+"))
    sources = [part.source for part in parts]
    if len(set(sources)) < len(sources):
        raise ValueError(f"{arm!r} names a source twice")
    if len(parts) > 1 and PERLIN in sources:
        raise ValueError(f"{arm!r}: every arm has Perlin noise; leave {PERLIN} out of the mixture")
    return parts


def _parse_part(part: str) -> Part:
    source, _, amount = part.partition(":")
    if source not in get_args(Source):
        raise ValueError(f"there is no source {source!r}; expected one of {', '.join(get_args(Source))}")
    if amount and source not in COUNTED:
        raise ValueError(f"{part!r}: an amount may be asked of {', '.join(sorted(COUNTED))} alone")
    return Part(cast("Source", source), int(amount) if amount else None)


def _checked(arm: str) -> str:
    parse_arm(arm)
    return arm


_JSON: dict[str, Any] = {"examples": ["perlin", "generated", "generated:50", "cutpaste+generated"]}

Arm = Annotated[str, Field(pattern=_SHAPE, json_schema_extra=_JSON), AfterValidator(_checked)]
"""A source, `source:N` for N images of it, or several joined by `+`."""


def main_arms(arms: Iterable[str]) -> list[str]:
    """Return the arms once each, without those that have some of the images of another one: these are its sweep.

    A mixture is no sweep: which of its amounts would count?
    """
    known = list(dict.fromkeys(arms))
    return [arm for arm in known if "+" in arm or whole(arm) == arm or whole(arm) not in known]


def learns_from_images(arm: str) -> bool:
    """Return whether the images of a dataset are among the arm's data."""
    return any(part.source in FROM_DATASET for part in parse_arm(arm))


def whole(arm: str) -> str:
    """Return the arm with all images of its sources."""
    return "+".join(part.source for part in parse_arm(arm))
