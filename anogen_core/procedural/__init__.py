"""Photos that the project makes itself: training scenes for the bundled model, and the demo's two categories.

`scene` draws on `surfaces`, `parts` and `defects`; `demo` draws on its own materials and defects, which are in neither.
"""
