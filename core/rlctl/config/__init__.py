"""The configuration of a run: its schema, where its values come from, and what is wrong with it."""
