"""Child processes that never outlive their parent, and their supervision."""
