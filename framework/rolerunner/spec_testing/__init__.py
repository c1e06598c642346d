"""rolerunner test: runs the cases of test files, each in a fresh sandbox, and compares them with what they expect."""
