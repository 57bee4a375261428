"""`gerbang demo`: a whole day at a border, played against a real server, every answer checked against the truth."""
