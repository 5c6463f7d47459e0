"""The boxes that try a model: a route for each kind of call, on the services that other skins talk to as well."""
