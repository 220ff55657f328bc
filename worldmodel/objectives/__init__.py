"""What is minimised: one module per stage of the training."""
