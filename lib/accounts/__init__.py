"""Who may use the server: local users, their roles, their tokens."""
