"""A run on disk: its directory, its manifest, and the store that finds runs again."""
