"""The jobs that send emails on certain days."""
