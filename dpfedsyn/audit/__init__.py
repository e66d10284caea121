"""Audits: what can be measured of a privacy claim."""
