"""The built-in actions, one module each: ``s3_copy`` defines ``s3.copy``."""
