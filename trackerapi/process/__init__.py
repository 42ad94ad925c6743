"""The process of the job script: forks, threads, signals, clocks, descriptors."""
