"""Images: a data set and a classifier; the namespace `vision`."""

from flambe_torch.vision.classifier import ImageClassifier
from flambe_torch.vision.mnist import MNISTDataset, read_idx

__all__ = ["ImageClassifier", "MNISTDataset", "read_idx"]
