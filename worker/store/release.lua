-- Gives the lease up, if it is ours.
local refusal = fence()
if refusal then return refusal end
redis.call('DEL', KEYS[1])
return {'ok'}
