"""How answers look: one document, printed as table, JSON, CSV, Markdown or YAML, or written to a file."""
