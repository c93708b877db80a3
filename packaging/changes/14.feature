New application `informix`: the server is blocked over the split (`onmode -c block`), and was seen blocked right before it is unblocked.
