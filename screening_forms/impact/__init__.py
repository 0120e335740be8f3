"""Compares the outcomes of two versions of a form or a table over the same interviews."""
