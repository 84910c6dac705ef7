-- Makes a rebuilt space the live one. Arguments: space, then the rest.
local refusal = fence()
if refusal then return refusal end
local space = take()
if redis.call('HGET', SPACES, 'last') ~= space then return {'superseded'} end
if tonumber(redis.call('HGET', META, 'space') or 0) >= tonumber(space) then return {'superseded'} end
redis.call('DEL', META)
redis.call('HSET', META, 'images', redis.call('HGET', SPACES, 'images'))
describe()
announce()
return {'ok'}
