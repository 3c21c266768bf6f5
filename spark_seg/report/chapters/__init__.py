"""The chapters of the model card: blocks of what a run says of its model."""
