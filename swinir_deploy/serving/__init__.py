"""An HTTP service that restores pictures for others."""
