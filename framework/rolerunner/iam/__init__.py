"""IAM without requests: which actions each call needs, policies as values, refusals explained."""
