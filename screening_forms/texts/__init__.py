"""The texts of a form in Spanish, Quechua and Aymara: translations, sign-off, orthography, glossary and recordings."""
