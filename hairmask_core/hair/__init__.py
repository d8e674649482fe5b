"""What is known of the hair that was found: its tone, whose it is, how its strands run."""
