"""Questionnaires, from an author's file to a result. Pure: no database, no HTTP, no cryptography.

workbook        reads and writes an author's files            rules        dimensions, indicator sets, policies
expressions     parses conditions                             texts        translations, sign-off, recordings
engine          runs a compiled form                          help_card    the neutral help card
scoring         calculates, second opinion, reasons           checks       names every problem of a workbook
compiler        workbook -> CompiledForm                      diff         what changed between two forms
translators     .po files and notes                           impact       who would be affected
sandbox         runs uploads in a child process

The folder itself contains problems (every code with its advice), compiled_form (the form that is published), errors,
languages, ubigeo, gc_pause and process_memory. Modules of the last rows import those of the first rows; setup.cfg lists
the layers.
"""
