"""The stages of a run, each one function from records to a record; finished work is recognised and returned at once.

- Before a run: `catalogue.py` (what the data holds), `room.py`, `support_doubts.py`, `forecast.py`, `pace.py`,
  `placement_sheet.py`.
- Stage 1, learn: `embedding.py`, `embedding_store.py`, `evidence.py`.
- Stage 2, generate: `generation.py`, `recipe.py` (what decides an image), `reuse.py`, `shard_work.py`, `jobs.py`,
  `filtered_sheet.py`; then `verdicts.py` and `likeness.py`.
- Stage 3, detect: `detection.py`, `arms.py`, `places.py` and `pasting.py` (the arm `cutpaste`).
- Results: `result.py` (run.json), `reporting.py`.
- With what runs have left: `prediction.py`, `calibration.py`, `regeneration.py`, `library.py`, `library_entries.py`,
  `datasets.py`, `pruning.py`, `leftovers.py`.
- For all: `runtime.py` (device and base model), `code.py` (versions), `running.py` and
  `processes.py` (the mark of a run that goes on).
"""
