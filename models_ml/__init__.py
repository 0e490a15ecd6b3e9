"""The ML library of EMER Workbench: media, face, voice, model clients, pipeline steps, metrics. Knows no Django."""
