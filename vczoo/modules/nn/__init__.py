"""Network blocks shared by backbones, heads and vocoders."""
