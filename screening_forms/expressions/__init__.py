"""Parses the conditions of a form (the XPath of XLSForm), and finds conditions that no answers can meet."""
