"""Heads: what stands on a backbone's frames. Speaker heads recognise and embed; voice heads convert."""
