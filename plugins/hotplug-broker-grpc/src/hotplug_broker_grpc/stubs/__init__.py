"""What the generator made; nothing here is written by hand."""
