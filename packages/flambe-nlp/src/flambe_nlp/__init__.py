"""Text for Flambé: data sets, fields, tokenizers, word vectors, text classifiers."""
