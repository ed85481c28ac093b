"""What goes with every layout: a table of all images, a card for people and one for machines."""

import csv
import io

from anogen_core.export.exporter import Export, Listing
from anogen_core.records import LedgerRow
from anogen_core.storage.card import counts_table, origin, warning_lines
from anogen_core.storage.commit import describe
from anogen_core.storage.croissant import LEDGER_TYPES, Table, croissant
from anogen_core.storage.layout import CARD, CROISSANT

TABLE = "samples.csv"

_REVIEW_TYPES = {"verdict": "sc:Text", "reviewer": "sc:Text"}
"""Columns of samples.csv beside those of the ledger; empty where nobody has said anything."""


def write_documents(export: Export, listing: Listing) -> None:
    """Write samples.csv, croissant.json and README.md; the last files of an export."""
    table = _table(export, listing)
    export.write(TABLE, table)
    export.write(CROISSANT, _croissant(export, listing, table))
    export.write(CARD, _card(export, listing).encode())


def _table(export: Export, listing: Listing) -> bytes:
    """Return one line for each image: its files, then everything that the ledger and reviewers know."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*_file_columns(listing), *LedgerRow.model_fields, *_REVIEW_TYPES])
    for row in export.rows:
        values = row.model_dump(mode="json").values()
        cells = [" ".join(map(str, value)) if isinstance(value, list) else value for value in values]
        verdict = export.verdict(row)
        said = [verdict.decision.value, verdict.who] if verdict else ["", ""]
        writer.writerow([*listing.files[row.request_id].values(), *cells, *said])
    return text.getvalue().encode("utf-8", "backslashreplace")


def _croissant(export: Export, listing: Listing, table: bytes) -> bytes:
    dataset = export.dataset
    columns = dict.fromkeys(_file_columns(listing), "sc:Text") | LEDGER_TYPES | _REVIEW_TYPES
    described = Table(TABLE, "text/csv", describe(table), columns)
    return croissant(dataset.spec, export.rows, dataset.manifest.digest, table=described, groups=listing.groups)


def _file_columns(listing: Listing) -> list[str]:
    return list(next(iter(listing.files.values()), {}))


def _card(export: Export, listing: Listing) -> str:
    dataset = export.dataset
    spec = dataset.spec
    return _CARD.format(
        spec=spec,
        title=listing.title,
        warnings=warning_lines(spec),
        table=counts_table(spec, export.rows),
        groups="\n".join(f"* `{group.pattern}`: {group.meaning}" for group in listing.groups),
        notes="".join(f"{note}\n\n" for note in listing.notes),
        origin=origin(spec, dataset.ledger(), dataset.manifest.digest),
    )


_CARD = """# {spec.category}: generated defects {title}

{warnings}The images are synthetic, made with AnoGen from real photos of good parts.
They are no test set of real defects: train on them, and evaluate on photos of your own.

{table}

{groups}
* `samples.csv`: what every image was made from.
* `croissant.json`: this folder described for machines (Croissant, mlcommons.org/croissant).

{notes}The settings of this export are in `anogen-export.json`. All that follows is about the whole dataset.

{origin}"""
