"""Training: recipe, loop, optimisers, schedules, losses, stopping, checkpoints."""
