"""pdvault: an encrypted personal-data vault that shops run beside their order system."""

__version__ = "0.1.0"
