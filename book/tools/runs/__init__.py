"""What is out of date, running it, and merging what ran in groups. May import `papers`."""
