"""Engines carry queries to silos and answers back; they decide nothing."""
