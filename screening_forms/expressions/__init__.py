"""Parses the conditions of a form (XPath as XLSForm writes it), and finds those that no answer can meet."""
