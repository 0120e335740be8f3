"""The rule tables that score a screening: dimensions, indicator sets and policies."""
