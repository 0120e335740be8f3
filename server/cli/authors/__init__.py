"""Commands for form authors, translators and reviewers."""
