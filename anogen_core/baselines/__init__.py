"""Other sources of anomalies: the control arms beside generation, and the detectors' own synthesis."""
