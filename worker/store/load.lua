-- Adds a part of a rebuild to its space, which nobody reads yet. Arguments: space, then the rest.
local refusal = fence()
if refusal then return refusal end
if redis.call('HGET', SPACES, 'last') ~= take() then return {'superseded'} end
local all = difference()
local missing = find_published(all)
if #missing > 0 then return {'also', unpack(missing)} end
redis.call('HINCRBY', SPACES, 'images', write(all))
return {'ok'}
