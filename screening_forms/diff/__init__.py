"""Tells what changed between two compiled forms, in an author's words."""
