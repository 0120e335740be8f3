"""The neutral help card of a region: its content, and its layout on one sheet."""
