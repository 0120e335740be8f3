"""Checks a workbook and names every problem with sheet, row, code and advice."""
