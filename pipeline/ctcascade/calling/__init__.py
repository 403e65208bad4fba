"""From cells to calls: gates, markers, clusters."""
