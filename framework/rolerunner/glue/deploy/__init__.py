"""Creates, updates, starts and follows Glue jobs, or writes them as infrastructure code."""
