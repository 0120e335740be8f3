"""The database engine, SQLite: connections, transactions, migrations. The store is typed with its protocol."""
