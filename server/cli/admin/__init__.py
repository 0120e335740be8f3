"""Commands for administrators: serve, init, jobs, backup and restore."""
