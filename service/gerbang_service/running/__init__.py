"""The parts put together: settings in, a server or several, out."""
