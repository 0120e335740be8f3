"""Tools for translators: `.po` files, the notes inside them, and the status of each language."""
