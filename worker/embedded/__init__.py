"""Real servers started as child processes, for the demo and the tests."""
