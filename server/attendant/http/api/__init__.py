"""The APIs that others' HTTP clients speak: skins over the front end, each in a room of its own."""
