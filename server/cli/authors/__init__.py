"""Commands for form authors, translators, reviewers and publishers."""
