"""Runs a compiled form: answers in, every relevant node and the result out."""
