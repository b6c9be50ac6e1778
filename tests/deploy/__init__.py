"""How the service is put into production: what is in `deploy/`, and what helps to try it."""
