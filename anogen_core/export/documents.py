"""What goes with every layout: a table of all images and a card."""

import csv
import io
from collections import Counter

from anogen_core.export.exporter import Export, Listing
from anogen_core.records import LedgerRow

TABLE = "samples.csv"
CARD = "README.md"


def write_documents(export: Export, listing: Listing) -> None:
    """Write samples.csv and README.md; the last files of an export."""
    export.write(TABLE, _table(export, listing))
    export.write(CARD, _card(export, listing).encode())


def _table(export: Export, listing: Listing) -> bytes:
    """Return one line for each image: its files, then everything that the ledger knows."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    columns = next(iter(listing.files.values()), {})
    writer.writerow([*columns, *LedgerRow.model_fields])
    for row in export.rows:
        values = row.model_dump(mode="json").values()
        cells = [" ".join(map(str, value)) if isinstance(value, list) else value for value in values]
        writer.writerow([*listing.files[row.request_id].values(), *cells])
    return text.getvalue().encode("utf-8", "backslashreplace")


def _card(export: Export, listing: Listing) -> str:
    dataset = export.dataset
    spec, counts = dataset.spec, Counter(row.defect for row in export.rows)
    return _CARD.format(
        spec=spec,
        title=listing.title,
        digest=dataset.manifest.digest,
        licence=spec.data_licence or "not stated",
        defects="\n".join(f"| {defect} | {counts[defect]} |" for defect in spec.defects if counts[defect]),
        groups="\n".join(f"* `{group.pattern}`: {group.meaning}" for group in listing.groups),
        notes="\n".join(listing.notes),
    )


_CARD = """# {spec.category}: generated defects {title}

The images are synthetic, made with AnoGen from real photos of good parts; they are no test set of real defects.
Train on them, and evaluate on photos of your own.

| defect | images |
|---|---|
{defects}

{groups}
* `samples.csv`: what every image was made from.

{notes}

* Dataset: `{spec.name}`, digest `{digest}`
* Base model: {spec.base_model.name} (`{spec.base_model.fingerprint}`), licence: {spec.base_model.licence}
* Licence of the real photos: {licence}
"""
