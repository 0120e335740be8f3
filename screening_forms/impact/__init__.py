"""Compares what two versions of a form, or of a table, do with the same interviews."""
