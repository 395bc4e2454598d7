from batchrouter.input import Input, Inputs

__all__ = ["Input", "Inputs"]
