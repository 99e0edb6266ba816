"""What is computed about keys: jobs, shares of work, periods, limits. Pure."""
