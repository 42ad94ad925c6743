"""Tools for the OpenAPI contract: reader, rules, comparison and compiler."""
