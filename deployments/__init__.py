"""Where and when runs happen. No logic."""
