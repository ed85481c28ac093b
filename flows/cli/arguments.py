"""Arguments and options that several commands share, and the longer ones of a single command."""

from pathlib import Path
from typing import Annotated

import typer

RunFile = Annotated[
    Path, typer.Argument(metavar="RUN.yaml", help="Run file; `anogen init` writes one.", show_default=False)
]


def _met(uri: str) -> str:
    """Return a location whose store answers."""
    from anogen_core.storage import open_store  # noqa: PLC0415

    open_store(uri).meet()
    return uri


DatasetUri = Annotated[
    str,
    typer.Argument(
        metavar="DATASET",
        help="Directory or s3:// address that ends in .zarr.",
        show_default=False,
        callback=_met,
    ),
]
Overrides = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="FIELD=VALUE", help="Override a field of the run file, e.g. inversion.steps=3000."),
]
Name = Annotated[str | None, typer.Option(help="Name of the deployment; default: the run file's.", show_default=False)]
Cron = Annotated[
    str | None,
    typer.Option(
        help="When to run, as a cron line in UTC; default: the schedule that it has.",
        envvar="ANOGEN_CRON",
        show_default=False,
    ),
]
Interval = Annotated[str | None, typer.Option(help="How often to run: 90m, 6h, 1d.", show_default=False)]
Pool = Annotated[
    str | None,
    typer.Option(
        help="Work pool whose workers execute the run; default: the one that it has, or anogen.", show_default=False
    ),
]
FalseAlarms = Annotated[
    float | None,
    typer.Option(
        metavar="SHARE",
        min=0,
        max=1,
        help="Of good parts that may be called defective; default: the threshold that parts best.",
        show_default=False,
    ),
]
Redraw = Annotated[
    bool, typer.Option("--redraw", help="Make a dataset for each seed: intervals then cover the luck of its draw.")
]
Category = Annotated[str | None, typer.Option(help="Needed when the run has several.", show_default=False)]
Arm = Annotated[
    str | None, typer.Option(help="What the detector learned from; default: generated.", show_default=False)
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]

Output = Annotated[
    str,
    typer.Argument(
        metavar="OUTPUT", help="Output of a run; its run file or a dataset in it will do.", show_default=False
    ),
]
"""`output_of` turns it into the output."""

KeepLast = Annotated[
    int,
    typer.Option(min=1, help="Complete datasets of each category that stay: the last run's and the newest others."),
]
Images = Annotated[
    list[Path], typer.Argument(metavar="IMAGE...", help="Photos, or directories of them.", show_default=False)
]
Webhook = Annotated[
    str | None, typer.Option(help="Address to POST to when a run fails, crashes or is late.", show_default=False)
]
Validation = Annotated[
    float | None,
    typer.Option("--val", metavar="FRACTION", help="Share of normal photos whose images go to validation."),
]
Picture = Annotated[
    Path | None, typer.Option(metavar="FILE.png", help="Draw support photos and what will be placed where.")
]
Layout = Annotated[str, typer.Option("--as", metavar="LAYOUT", help="mvtec, coco, yolo or webdataset (docs/pull.md).")]
Defects = Annotated[
    list[str] | None, typer.Option("--defect", metavar="NAME", help="This defect alone; may be repeated.")
]

Amounts = Annotated[
    str | None,
    typer.Option(
        metavar="N,N,...",
        help="Train with so many of the generated images too, to see where more no longer help.",
        show_default=False,
    ),
]

Verdicts = Annotated[
    str,
    typer.Option(
        "--review",
        metavar="CHOICE",
        help="kept: what reviewers did not reject; accepted: only what they accepted or fixed; all: everything.",
    ),
]
MinQuality = Annotated[
    float,
    typer.Option("--min-quality", min=0, max=1, help="How far inside the gates: 1 as the support photos, 0 barely."),
]
LayoutSettings = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="FIELD=VALUE",
        help="A setting of the layout, e.g. labels=boxes, or originals=DIR for images in the photos' own bit depth.",
    ),
]


def _say_version(asked: bool) -> None:  # noqa: FBT001
    if asked:
        from importlib.metadata import version  # noqa: PLC0415

        typer.echo(f"anogen {version('anogen')}")
        raise typer.Exit


Version = Annotated[
    bool, typer.Option("--version", help="Print the version and stop.", is_eager=True, callback=_say_version)
]


def output_of(source: str) -> str:
    """Return the output that a run file or a dataset belongs to, with a store that answers.

    Raises:
        InputError: the run file cannot be read.
        StorageError: the output's store does not answer.
    """
    return _met(named_output(source))


def named_output(source: str) -> str:
    """Return the output that a run file or a dataset belongs to; anything else is an output.

    Raises:
        InputError: the run file cannot be read.
    """
    from anogen_core.config import load_config  # noqa: PLC0415

    if source.endswith((".yaml", ".yml")):
        return load_config(Path(source)).output
    output = source.rstrip("/")
    if output.endswith(".zarr"):
        # <output>/datasets/<name>.zarr
        parts = output.rsplit("/", 2)
        return parts[0] if len(parts) == 3 else ("..", ".")[len(parts) - 1]
    return output
