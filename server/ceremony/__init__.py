"""Founding a server: who gets which key. It wraps keyrings, so the serving process must not import it."""
