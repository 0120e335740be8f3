"""Questionnaires, pure: no database, no HTTP, no cryptography. Where to look, from an author's file to a result:

read       package (all that a form is made of), shelf, workbook, excel, tables; write: spreadsheet, pen
rules      dimensions, indicators, policy, scoring (the second opinion), reasons
check      checks, and one module per place: sheet_, question_, choice_, text_, rule_, language_checks; cases; advice;
           subject, whitelist, contradictions, places; odk_validate, odk_rows
texts      translations, languages, screen, audio, sound_formats; for translators po_files, translator_notes, sign_off,
           glossary, orthography, standing
compile    compile, calculates, padding, compiled (what travels), expressions, garbage
fill       engine, generate, expression_code, xform, interview
compare    diff (anatomy, item_, text_, score_, table_, source_changes; changes, spoken), impact (carrying, made_up);
           succession and table_effect for new versions of tables
uploads    apart (the process), confined (inside it), drafts, table_uploads
card       card, card_page
errors     FormProblem, FormError, AnswerError: what every module raises
"""
