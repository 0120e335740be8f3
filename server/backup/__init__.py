"""The backup file and the key that opens it."""
