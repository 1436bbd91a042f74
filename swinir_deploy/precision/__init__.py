"""What half precision needs: measured maxima, a plan, a proof's inputs."""
