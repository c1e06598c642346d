"""Role sessions: assumes roles, renews their sessions, and makes boto3 clients from them."""
