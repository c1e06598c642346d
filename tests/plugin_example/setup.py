"""An example of a package that offers an action: ``action: hello.count``."""

from setuptools import setup

setup(
    name="rolerunner-hello",
    version="1.0",
    packages=["rolerunner_hello"],
    entry_points={"rolerunner.actions": ["hello.count = rolerunner_hello:HelloCount"]},
)
