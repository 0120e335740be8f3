"""Checks a workbook. Each problem has its sheet, row, code and advice."""
