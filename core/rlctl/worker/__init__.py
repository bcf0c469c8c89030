"""The worker process: what a backend implements (`protocol`), what it is handed (`run`), and the process's entry (`main`)."""
