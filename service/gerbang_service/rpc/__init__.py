"""The thin gRPC shell over the service."""
