"""Checks against a known truth: phantom slides, spike-in recovery, follow-up of the lab's own patients."""
