"""The results database: SQLite, one file, its rows as nouns."""
