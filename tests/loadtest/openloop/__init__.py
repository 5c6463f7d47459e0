"""Requests that are made when they are due."""
