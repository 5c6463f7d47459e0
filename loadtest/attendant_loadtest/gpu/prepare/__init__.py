"""Makes a kit where the exporter is installed. Nothing else of the kit imports the exporter, or this."""
