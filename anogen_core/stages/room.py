"""Whether there is room for what a run asks for: told before anything is learned, as blocked requests make no image."""

from collections.abc import Iterator, Mapping, Sequence

from anogen_core.config import RunConfig
from anogen_core.data.problems import Problem, error, warning
from anogen_core.errors import AnogenError
from anogen_core.records import GenerationRequest, Outcome, Record
from anogen_core.report.tables import kind_of
from anogen_core.stages.catalogue import Category, read_catalogue
from anogen_core.stages.generation import find_dataset, plan_category, product_of
from anogen_core.storage import Dataset

_TRIED = 20
"""Requests of each defect that are planned to see whether there is room..."""
_MOST = 1000
"""... and of all defects together where none of these has a place: blocked ones take longest."""


class Room(Record):
    """How many requests of a defect have a place."""

    planned: int
    blocked: int
    reasons: dict[str, int]
    """Why requests are blocked, with counts, the most frequent first; those that differ in numbers alone are counted
    together under the first of them."""


def room_of(requests: Sequence[GenerationRequest]) -> Room:
    """Return how many requests have a place, and why others have none."""
    return _room([request.blocked for request in requests])


def _room(reasons: Sequence[str | None]) -> Room:
    """Return the room of requests, given why each is blocked; None for those that are not."""
    groups: dict[str, list[str]] = {}
    for reason in reasons:
        if reason is not None:
            groups.setdefault(kind_of(reason), []).append(reason)
    ordered = sorted(groups.values(), key=len, reverse=True)
    return Room(
        planned=len(reasons), blocked=sum(map(len, ordered)), reasons={group[0]: len(group) for group in ordered}
    )


def room_problems(rooms: Mapping[str, Room], asked: int) -> list[Problem]:
    """Return a warning for each defect of which more than half is blocked; errors when nothing at all has a place.

    Args:
        rooms: By `<category>/<defect>`.
        asked: Requests of each defect that a run makes, of which the first may have been planned alone.
    """
    nothing = all(room.blocked == room.planned for room in rooms.values())
    say = error if nothing else warning
    found = []
    for name, room in rooms.items():
        if 2 * room.blocked <= room.planned:
            continue
        reason, count = next(iter(room.reasons.items()))
        whole = room.blocked == room.planned
        first = "the first " if room.planned < asked else ""
        what = f"{'all' if whole else room.blocked} of {first}{room.planned} requests are blocked"
        what += f", so {'hardly an' if first else 'no'} image of it would be made" if whole else ""
        often = "" if count == room.blocked else f" ({count} of them)"
        found.append(
            say(
                name,
                f"{what}{often}: {reason}.",
                fix="`anogen check RUN.yaml --picture plan.png` shows where defects may lie.",
            )
        )
    return found


def require_room(config: RunConfig) -> list[Problem]:
    """Return what `room_problems` tells of the first requests of each defect, and of more where none of these fits.

    Of a category whose dataset is complete already it tells what came of all of them.

    Raises:
        AnogenError: nothing of these has a place, so a run would make hardly an image, or none.
    """
    catalogue, asked = read_catalogue(config), config.generation.images_per_defect
    more = _MOST // sum(len(category.supports) for category in catalogue)
    for count in sorted({min(_TRIED, asked), min(max(_TRIED, more), asked)}):
        rooms = {name: room for category in catalogue for name, room in _rooms(config, category, count)}
        problems = room_problems(rooms, asked)
        if all(problem.severity != "error" for problem in problems):
            return problems
    few = "no image" if count == asked else "hardly an image"
    raise AnogenError(f"{few} would be made:\n" + "\n".join(map(str, problems)))


def _rooms(config: RunConfig, category: Category, count: int) -> Iterator[tuple[str, Room]]:
    """Yield the room of so many requests of each defect; of all where they are made already."""
    made = find_dataset(config, category.name)
    if made is None:
        changed = {"images_per_defect": count}
        tried = config.model_copy(update={"generation": config.generation.model_copy(update=changed)})
        requests = plan_category(tried, category, product_of(config, category))
        reasons = [(request.defect, request.blocked) for request in requests]
    else:
        rows = [row for row in Dataset(made[1].uri).ledger() if row.replaces is None]
        reasons = [(row.defect, row.reason if row.outcome is Outcome.BLOCKED else None) for row in rows]
    for support in category.supports:
        yield f"{category.name}/{support.defect}", _room([why for defect, why in reasons if defect == support.defect])
