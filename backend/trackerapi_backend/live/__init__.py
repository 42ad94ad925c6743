"""Live: viewers of jobs, and the streams that carry the newest state to them."""
