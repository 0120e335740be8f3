"""Reads and writes an author's files: workbook (.xlsx or Markdown), source package, tables, recordings."""
