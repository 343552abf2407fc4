"""One file per verb: options in, estimators asked, a `Document` out."""
