"""Money: hours times a dated price, with the spread between sellers."""
