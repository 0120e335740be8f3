"""Commands for administrators on the server's machine: init, serve, trust, audit, jobs, backup and restore."""
