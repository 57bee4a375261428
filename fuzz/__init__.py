"""Coverage-guided fuzzing (atheris) of what comes from outside: `make fuzz`."""
