"""Operates the server: founding, backup, restore, health, audit, retention, reports."""
