-- Deletes entries of the stream. KEYS: 3 events. ARGV: 4... the entries.
local refusal = fence()
if refusal then return refusal end
redis.call('XDEL', KEYS[3], unpack(ARGV, 4))
return {'ok'}
