"""Scoring: the calculates inside a form, an independent second calculation, and the reasons in Spanish."""
