"""Dead letters: read from their topic, decoded by the rules that rejected them, sent again."""
