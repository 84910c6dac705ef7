-- Publishes what the worker tells of itself. KEYS: 3 status. ARGV: 4 a JSON object.
local refusal = fence()
if refusal then return refusal end
redis.call('SET', KEYS[3], ARGV[4])
return {'ok'}
