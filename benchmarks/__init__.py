"""What is measured: this machine's accelerators (harness) and our own errors on published runs (validation)."""
