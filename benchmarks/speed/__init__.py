"""How fast flopwise itself is."""
