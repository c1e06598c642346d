"""AWS Glue: arguments, runtime, entry."""
