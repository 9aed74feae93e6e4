"""What a person asks for, one verb a file."""
