"""From results to self-contained HTML pages."""
