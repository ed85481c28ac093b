"""How good a detector is, in numbers that can be recomputed from stored predictions."""
