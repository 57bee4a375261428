"""How the server is watched: metrics, liveness and readiness, logs, traces."""
