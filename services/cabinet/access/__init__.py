"""Who may what: log-in, sessions, and the one place that decides."""
