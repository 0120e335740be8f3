"""Compiles a checked workbook into the bytes that two persons sign."""
