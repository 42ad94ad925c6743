"""Live: viewers of jobs, and the streams that send the newest state to viewers."""
