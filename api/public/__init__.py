"""The status page of chosen stores: read-only, and fit for the outside."""
