"""Order and fan-out of a run as Prefect flows, and the command line. Importing this package imports nothing heavy."""
