"""Gives the tests the sandbox: the fixtures rolerunner_sandbox and rolerunner_context."""

pytest_plugins = ["rolerunner.testing"]
