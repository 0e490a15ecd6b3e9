"""The model in the paper's arrangement: frozen encoders, trainable Q-Formers and projections, frozen LLM."""
