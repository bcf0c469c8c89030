"""Starting a run: from layers of configuration to a directory, a process, and a result."""
