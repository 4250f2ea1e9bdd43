"""One file a group of routes; what runs long or waits for a disk never runs in the event loop."""
