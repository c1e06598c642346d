"""Files of SFTP servers: connections, listings, reads and writes. Only ``ssh`` imports paramiko."""
