"""An example of a package that offers actions: ``hello.count`` and ``hello.tag``."""

from setuptools import setup

setup(
    name="rolerunner-hello",
    version="1.0",
    packages=["rolerunner_hello"],
    entry_points={
        "rolerunner.actions": [
            "hello.count = rolerunner_hello:HelloCount",
            "hello.tag = rolerunner_hello.tag:HelloTag",
        ]
    },
)
