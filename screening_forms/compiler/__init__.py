"""Compiles a checked workbook into the bytes that author and reviewer sign."""
