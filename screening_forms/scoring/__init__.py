"""Scores a screening: the calculates inside the form, an independent second opinion, and the reasons."""
