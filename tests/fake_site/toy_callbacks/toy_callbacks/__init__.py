"""Callbacks for tests."""
