"""Interfaces of backbones, freezing strategies, heads, vocoders and watermarks.

Waveform -> Backbone (stage by stage) -> Frames -+-> SpeakerHead -> embedding, logits
                                                 +-> VoiceHead (Frames, pitch, voice) -> acoustic Frames
                                                         acoustic Frames -> Vocoder -> Waveform [-> Watermark]
"""
