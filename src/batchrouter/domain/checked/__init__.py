"""Checked answers: what a request says of the form of its answer, and whether an answer has that form."""
