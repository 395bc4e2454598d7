"""A data folder on its way to PostgreSQL and a bucket."""
