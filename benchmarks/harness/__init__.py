"""The torch microbenchmarks; the only room that may import torch."""
