"""The commands of `anogen` about datasets: what is in one, and what becomes of it."""

from pathlib import Path
from typing import Annotated

import typer

from flows.cli.arguments import (
    AsJson,
    DatasetUri,
    Defects,
    KeepLast,
    Layout,
    LayoutSettings,
    MinQuality,
    Output,
    Validation,
    Verdicts,
)

commands = typer.Typer()


@commands.command()
def inspect(
    dataset: DatasetUri,
    as_json: AsJson = False,  # noqa: FBT002
    card: Annotated[bool, typer.Option("--card", help="Print the card (Markdown).")] = False,  # noqa: FBT002
    croissant: Annotated[bool, typer.Option("--croissant", help="Print Croissant metadata.")] = False,  # noqa: FBT002
) -> None:
    """Show what a dataset holds: counts, digests, base model, licence."""
    from flows.cli import reading  # noqa: PLC0415

    if card or croissant:
        reading.describe(dataset, machine=croissant)
    else:
        reading.inspect(dataset, as_json=as_json)


@commands.command()
def datasets(source: Output, as_json: AsJson = False) -> None:  # noqa: FBT002
    """List all datasets of a run's output: images, size, date, and which the last run refers to."""
    from flows.cli import reading  # noqa: PLC0415

    reading.datasets(source, as_json=as_json)


@commands.command()
def prune(
    source: Output,
    keep_last: KeepLast = 1,
    yes: Annotated[bool, typer.Option("--yes", help="Delete it.")] = False,  # noqa: FBT002
    as_json: AsJson = False,  # noqa: FBT002
) -> None:
    """Show what no result of a run's output needs any more, and delete it with --yes."""
    from flows.cli import pruning  # noqa: PLC0415

    pruning.prune(source, keep_last=keep_last, yes=yes, as_json=as_json)


@commands.command()
def verify(dataset: DatasetUri) -> None:
    """Recompute every digest of a dataset; exit 1 on any mismatch."""
    from flows.cli import reading  # noqa: PLC0415

    raise typer.Exit(reading.verify(dataset))


@commands.command()
def regenerate(
    dataset: DatasetUri,
    request_id: Annotated[str, typer.Argument(metavar="REQUEST_ID", help="As in samples.parquet.", show_default=False)],
    out: Annotated[Path | None, typer.Option(help="Also write the image as PNG.")] = None,
) -> None:
    """Make one image again, alone, and compare it with the stored one; exit 1 when it differs."""
    from flows.cli import reading  # noqa: PLC0415

    raise typer.Exit(reading.regenerate(dataset, request_id, out))


@commands.command()
def review(
    dataset: DatasetUri,
    port: Annotated[int, typer.Option(min=0, max=65535, help="Of the local page; 0 for any free one.")] = 8765,
    who: Annotated[str | None, typer.Option(help="Name kept with each verdict; default: yours here.")] = None,
) -> None:
    """Look at a dataset in your browser and accept, reject or fix its images; the dataset itself never changes."""
    from flows.cli import reviewing  # noqa: PLC0415

    reviewing.review(dataset, port=port, who=who)


@commands.command()
def pull(
    dataset: DatasetUri,
    dest: Annotated[Path, typer.Argument(metavar="DEST", help="Directory to write to.", show_default=False)],
    layout: Layout = "mvtec",
    defects: Defects = None,
    review: Verdicts = "kept",
    quality: MinQuality = 0.0,
    validation: Validation = None,
    overrides: LayoutSettings = None,
) -> None:
    """Write a dataset as files that other tools read. Run again to complete."""
    from flows.cli import reading  # noqa: PLC0415

    reading.pull(
        dataset,
        dest,
        layout,
        defects=defects or [],
        review=review,
        quality=quality,
        validation=validation,
        overrides=overrides or [],
    )
