"""The graphs of bundles: passes that rewrite them, the nodes they have, and what is added to them."""
