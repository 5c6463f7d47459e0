"""The models of a server: bundles are found, checked, loaded, run once, served, drained and unloaded."""
