"""AWS Glue: what a job runs (entry), what it is made of (bundle), how it gets there (deploy) and how it goes (runs)."""
