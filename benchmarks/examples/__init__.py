"""What whole runs of the embedded examples give, and what holds when silos differ or leave."""
