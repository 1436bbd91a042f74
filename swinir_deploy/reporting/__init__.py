"""What the checks found, as one HTML file to hand over: identity, verdicts, plots, pictures."""
