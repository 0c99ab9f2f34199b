"""Webhook events over HTTP."""
