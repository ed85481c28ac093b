"""The stages of a run, each one function from records to a record; finished work is recognised and returned at once."""
