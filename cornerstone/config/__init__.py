"""What is asked for: config.yaml, typed and checked before any work starts.

The JSON schema for editors and docs/configuration.md are generated from here. Nothing is computed or read but YAML.
"""
