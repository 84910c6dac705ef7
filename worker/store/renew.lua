-- Keeps the lease: the fence does.
return fence() or {'ok'}
