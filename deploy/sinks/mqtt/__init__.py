"""Verdict events and commands over MQTT."""
