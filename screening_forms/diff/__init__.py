"""Compares two versions of a form and describes each change in Spanish and English."""
