"""Every command of `anogen`: arguments in, a few lines or JSON out. The work is elsewhere and imported when needed."""

from pathlib import Path
from typing import Annotated

import typer

from flows.cli.arguments import (
    Amounts,
    Arm,
    AsJson,
    Category,
    DatasetUri,
    Defects,
    FalseAlarms,
    Images,
    KeepLast,
    Layout,
    LayoutSettings,
    MinQuality,
    Name,
    Output,
    Overrides,
    Picture,
    Pool,
    RunFile,
    Validation,
    Verdicts,
    Version,
    Webhook,
)
from flows.cli.embedding_commands import embeddings

app = typer.Typer(
    name="anogen",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

app.add_typer(embeddings, name="embeddings")


@app.callback()
def options(version: Version = False) -> None:  # noqa: FBT002
    """Give it three photos of a defect; get a labelled dataset and a detector trained on it."""


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
def check(
    run_file: RunFile,
    overrides: Overrides = None,
    as_json: AsJson = False,  # noqa: FBT002
    picture: Picture = None,
) -> None:
    """Validate the run file and every photo, and show what would be made; computes nothing."""
    from flows.cli import starting  # noqa: PLC0415

    raise typer.Exit(starting.check(run_file, overrides or [], as_json=as_json, picture=picture))


@app.command()
def run(
    run_file: RunFile,
    overrides: Overrides = None,
    submit: Annotated[bool, typer.Option("--submit", help="Let a worker of PREFECT_API_URL run it.")] = False,  # noqa: FBT002
    name: Name = None,
    pool: Pool = "anogen",
) -> None:
    """Learn the defects, make the datasets, train and compare detectors. Run again to resume."""
    if submit:
        from flows.cli import serving  # noqa: PLC0415

        serving.submit(run_file, overrides or [], name=name, pool=pool)
        return
    from flows.cli import running  # noqa: PLC0415

    running.run(run_file, overrides or [])


@app.command()
def evaluate(
    run_file: RunFile,
    seeds: Annotated[int, typer.Option(min=1, help="Detectors trained for each arm.")] = 3,
    amounts: Amounts = None,
    overrides: Overrides = None,
    as_json: AsJson = False,  # noqa: FBT002
) -> None:
    """Compare all arms over several seeds, with 95 % intervals; reuses what a run has done. Run again to resume."""
    from flows.cli import evaluating  # noqa: PLC0415

    evaluating.evaluate(run_file, overrides or [], seeds=seeds, amounts=amounts, as_json=as_json)


@app.command()
def predict(
    output: Output,
    images: Images,
    category: Category = None,
    arm: Arm = None,
    false_alarms: FalseAlarms = None,
    heat: Annotated[Path | None, typer.Option(metavar="DIR", help="Write a heat map of every photo there.")] = None,
    as_json: AsJson = False,  # noqa: FBT002
) -> None:
    """Score photos with a detector that a run trained, against a threshold calibrated on generated defects."""
    from flows.cli import predicting  # noqa: PLC0415

    raise typer.Exit(
        predicting.predict(
            output, images, category=category, arm=arm, false_alarms=false_alarms, heat=heat, as_json=as_json
        )
    )


@app.command()
def onnx(
    output: Output,
    file: Annotated[Path, typer.Argument(metavar="FILE.onnx", help="Where to write.", show_default=False)],
    category: Category = None,
    arm: Arm = None,
    false_alarms: FalseAlarms = None,
) -> None:
    """Write a detector that a run trained as ONNX, with its threshold, checked against PyTorch on the run's images."""
    from flows.cli import predicting  # noqa: PLC0415

    predicting.write_onnx(output, file, category=category, arm=arm, false_alarms=false_alarms)


@app.command()
def deploy(
    run_file: RunFile,
    overrides: Overrides = None,
    cron: Annotated[str | None, typer.Option(help="When to run, as a cron line in UTC.", show_default=False)] = None,
    interval: Annotated[str | None, typer.Option(help="How often to run: 90m, 6h, 1d.", show_default=False)] = None,
    name: Name = None,
    pool: Pool = "anogen",
    webhook: Webhook = None,
) -> None:
    """Register the run with the Prefect server of PREFECT_API_URL; again to change its settings or its schedule."""
    from flows.cli import serving  # noqa: PLC0415

    serving.deploy(run_file, overrides or [], name=name, pool=pool, cron=cron, interval=interval, webhook=webhook)


@app.command()
def status(
    limit: Annotated[int, typer.Option(min=1, max=200, help="How many runs.")] = 10,
    as_json: AsJson = False,  # noqa: FBT002
) -> None:
    """Show the newest runs on the Prefect server of PREFECT_API_URL and how far they have come."""
    from flows.cli import serving  # noqa: PLC0415

    serving.status(limit, as_json=as_json)


@app.command()
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


@app.command()
def datasets(source: Output, as_json: AsJson = False) -> None:  # noqa: FBT002
    """List all datasets of a run's output: images, size, date, and which the last run refers to."""
    from flows.cli import reading  # noqa: PLC0415

    reading.datasets(source, as_json=as_json)


@app.command()
def prune(
    source: Output,
    keep_last: KeepLast = 1,
    yes: Annotated[bool, typer.Option("--yes", help="Delete it.")] = False,  # noqa: FBT002
    as_json: AsJson = False,  # noqa: FBT002
) -> None:
    """Show what no result of a run's output needs any more, and delete it with --yes."""
    from flows.cli import pruning  # noqa: PLC0415

    pruning.prune(source, keep_last=keep_last, yes=yes, as_json=as_json)


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


@app.command()
def report(output: Output) -> None:
    """Write the report of a finished run again: one self-contained HTML file."""
    from flows.cli import reading  # noqa: PLC0415

    reading.report(output)


@app.command()
def pretrain(
    work: Annotated[Path, typer.Option(help="Where scenes and checkpoints go; an interrupted training there goes on.")],
    out: Annotated[Path, typer.Option(help="Directory of the trained pipeline.")],
    photos: Annotated[Path | None, typer.Option(help="Your own photos of good parts, to learn from as well.")] = None,
    start: Annotated[
        Path | None, typer.Option(help="Pipeline to start from; 'bundled' is the one that ships.", show_default=False)
    ] = None,
    settings: Annotated[Path | None, typer.Option(help="YAML with settings that differ from the defaults.")] = None,
    minutes: Annotated[float, typer.Option(help="Stop after this time.", show_default="no limit")] = float("inf"),
    device: Annotated[str, typer.Option(help="PyTorch device, e.g. cuda.")] = "auto",
) -> None:
    """Train a base model of your own: rendered scenes with defects, and your photos of good parts if you have some."""
    from flows.cli import training  # noqa: PLC0415

    training.pretrain(work, out, photos=photos, start=start, settings=settings, minutes=minutes, device=device)
