"""The store on SQLite, embedded: the default."""
