"""AWS Glue: the entry of a job (launch), its files (bundle) and its deployment (deploy)."""
