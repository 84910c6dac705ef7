-- Adds a part of a rebuild to its space, which nobody reads yet. Arguments: space, then the rest.
local refusal = fence()
if refusal then return refusal end
if redis.call('HGET', SPACES, 'last') ~= take() then return {'superseded'} end
redis.call('HINCRBY', SPACES, 'images', write(difference()))
return {'ok'}
