"""The built-in actions: one module each, named after the action, such as ``s3_copy`` for ``s3.copy``."""
