"""Reads and writes an author's files: workbooks (.xlsx or Markdown), source packages, tables and recordings."""
