"""Prefect tasks: one thin function per unit of retry. They add policy only; the work is in `anogen_core.stages`."""
