"""Generated message and service types of the wire. Do not edit: `make protos`."""
