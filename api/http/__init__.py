"""The parts of HTTP that every resource uses: errors, bodies, parameters, streams, static files."""
