"""`gerbang doctor`: what keeps a server from starting, or would go wrong at three in the morning."""
