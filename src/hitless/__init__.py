"""hitless changes a live system without dropping a request or a row."""

__version__ = "0.1.0"
