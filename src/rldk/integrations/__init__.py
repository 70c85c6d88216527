"""Where rldk meets the frameworks that train, and the services that people already use."""
