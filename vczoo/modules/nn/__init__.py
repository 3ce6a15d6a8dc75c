"""Network blocks that backbones, heads and vocoders share."""
