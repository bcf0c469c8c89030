"""rlctl's callbacks. Nothing is imported here: `plugin` has the descriptors, each callback a module of its own."""
