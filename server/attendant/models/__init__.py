"""The model repository: find bundles, check, load, warm up and unload them."""
