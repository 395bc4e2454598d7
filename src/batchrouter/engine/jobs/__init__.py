"""Native batch jobs: lines that a provider runs for us as a batch of its own.

`gather` makes jobs of waiting lines, `steps` moves each job by one step, `collect` takes results over, `loop` runs
them beside everything else. Any step may die at any point; the next worker goes on from the job's row.
"""
