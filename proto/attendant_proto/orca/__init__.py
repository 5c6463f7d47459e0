"""Open Request Cost Aggregation, as balancers read it: generated from load_report.proto and service.proto."""
