"""Doors for libraries that bring their own idea of a connection: SQLAlchemy and Django. Each loads only its own library."""
