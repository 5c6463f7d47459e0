"""Graphs that give a model's attention, beside the served ones: how they are made and checked."""
