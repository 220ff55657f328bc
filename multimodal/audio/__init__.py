"""How sound is read: waveforms, log-mel features, the neural codec, and speech made offline."""
