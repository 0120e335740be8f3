"""Runs a compiled form: evaluates answers into relevant nodes and a result, and steps through an interview."""
