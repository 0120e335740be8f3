"""Runs tasks on untrusted uploads in a child process with strict limits."""
