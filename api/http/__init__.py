"""What every resource needs of HTTP: errors, bodies, parameters, event streams, static files."""
