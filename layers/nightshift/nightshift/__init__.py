"""nightshift: bulk Claude work, done overnight, at half price, in your own AWS account."""
