"""EMER Workbench: the Django application that people and clients talk to."""
