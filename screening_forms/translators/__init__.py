"""What translators work with: .po files, the notes in them, and how far each language is."""
