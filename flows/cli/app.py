"""Every command of `anogen`: arguments in, a few lines or JSON out. The work is elsewhere and imported when needed."""

import sys
import tempfile
import traceback
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(
    name="anogen",
    help="Give it three photos of a defect; get a labelled dataset and a detector trained on it.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

RunFile = Annotated[
    Path, typer.Argument(metavar="RUN.yaml", help="Run file; `anogen init` writes one.", show_default=False)
]
DatasetUri = Annotated[
    str, typer.Argument(metavar="DATASET", help="Directory or s3:// address that ends in .zarr.", show_default=False)
]
Overrides = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="FIELD=VALUE", help="Override a field of the run file, e.g. inversion.steps=3000."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.command()
def demo(
    out: Annotated[Path, typer.Option(help="Where everything goes; a demo that was interrupted there goes on.")] = Path(
        "demo"
    ),
    overrides: Overrides = None,
) -> None:
    """Run the whole pipeline on made-up photos: offline, on a CPU, in minutes."""
    from flows.cli import running  # noqa: PLC0415

    running.demo(out, overrides or [])


@app.command()
def init(
    run_file: RunFile,
    data: Annotated[str, typer.Option(metavar="ROOT", help="Directory with your photos.", show_default=False)],
    force: Annotated[bool, typer.Option(help="Replace the file if it exists.")] = False,  # noqa: FBT002
) -> None:
    """Look at a directory of photos and write a commented run file that runs as it stands."""
    from flows.cli import starting  # noqa: PLC0415

    starting.init(run_file, data, force=force)


@app.command()
def check(run_file: RunFile, overrides: Overrides = None, as_json: AsJson = False) -> None:  # noqa: FBT002
    """Validate the run file and every photo, and show what would be made; computes nothing."""
    from flows.cli import starting  # noqa: PLC0415

    raise typer.Exit(starting.check(run_file, overrides or [], as_json=as_json))


@app.command()
def run(run_file: RunFile, overrides: Overrides = None) -> None:
    """Learn the defects, make the datasets, train and compare detectors. Run again to resume."""
    from flows.cli import running  # noqa: PLC0415

    running.run(run_file, overrides or [])


@app.command()
def inspect(dataset: DatasetUri, as_json: AsJson = False) -> None:  # noqa: FBT002
    """Show what a dataset holds: counts, digests, base model, licence."""
    from flows.cli import reading  # noqa: PLC0415

    reading.inspect(dataset, as_json=as_json)


@app.command()
def verify(dataset: DatasetUri) -> None:
    """Recompute every digest of a dataset; exit 1 on any mismatch."""
    from flows.cli import reading  # noqa: PLC0415

    raise typer.Exit(reading.verify(dataset))


@app.command()
def regenerate(
    dataset: DatasetUri,
    request_id: Annotated[str, typer.Argument(metavar="REQUEST_ID", help="As in samples.parquet.", show_default=False)],
    out: Annotated[Path | None, typer.Option(help="Also write the image as PNG.")] = None,
) -> None:
    """Make one image again, alone, and compare it with the stored one; exit 1 when it differs."""
    from flows.cli import reading  # noqa: PLC0415

    raise typer.Exit(reading.regenerate(dataset, request_id, out))


@app.command()
def review(
    dataset: DatasetUri,
    port: Annotated[int, typer.Option(min=0, max=65535, help="Of the local page; 0 for any free one.")] = 8765,
    who: Annotated[str | None, typer.Option(help="Name kept with each verdict; default: yours here.")] = None,
) -> None:
    """Look at a dataset in your browser and accept, reject or fix its images; the dataset itself never changes."""
    from flows.cli import reviewing  # noqa: PLC0415

    reviewing.review(dataset, port=port, who=who)


@app.command()
def pull(
    dataset: DatasetUri,
    dest: Annotated[Path, typer.Argument(metavar="DEST", help="Directory to write to.", show_default=False)],
    layout: Annotated[str, typer.Option("--as", metavar="LAYOUT", help="mvtec")] = "mvtec",
) -> None:
    """Write a dataset as image files that other tools read."""
    from flows.cli import reading  # noqa: PLC0415

    reading.pull(dataset, dest, layout)


@app.command()
def report(
    source: Annotated[
        str,
        typer.Argument(
            metavar="DATASET|RUN.yaml", help="A dataset of a finished run, or its run file.", show_default=False
        ),
    ],
) -> None:
    """Write the report of a finished run again: one self-contained HTML file."""
    from flows.cli import reading  # noqa: PLC0415

    reading.report(source)


def main() -> None:
    """Run the command line; errors become one message and an exit code, never a traceback."""
    from anogen_core.errors import AnogenError, InputError, InterruptedRunError  # noqa: PLC0415

    try:
        app()
    except InputError as error:
        _end(str(error), 2)
    except InterruptedRunError as error:
        _end(str(error), 130)
    except AnogenError as error:
        _end(str(error), 1)
    except BrokenPipeError:
        _end("The reader of the output went away.", 1)
    except Exception as error:  # noqa: BLE001 - the last line of defence
        with tempfile.NamedTemporaryFile("w", prefix="anogen-", suffix=".log", delete=False) as log:
            traceback.print_exc(file=log)
        _end(
            f"Unexpected {type(error).__name__}: {error}\nThis is a fault of AnoGen; please report it with {log.name}.",
            1,
        )


def _end(message: str, code: int) -> None:
    sys.stderr.write(f"anogen: {message}\n")
    sys.exit(code)
