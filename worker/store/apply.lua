-- Applies one update to the live space. Arguments: space, buckets, sequence, then the rest.
local refusal = fence()
if refusal then return refusal end
local space, buckets, sequence = take(), take(), number()
local there = redis.call('HMGET', META, 'space', 'buckets', 'sequence')
if there[1] ~= space or there[2] ~= buckets then return {'moved'} end
local ahead = sequence - tonumber(there[3])
if ahead ~= 0 and ahead ~= 1 then
  return {'lapsed', 'the store is at update ' .. there[3] .. ', not ready for ' .. sequence}
end
local all = difference()
local missing = find_published(all)
if #missing > 0 then return {'also', unpack(missing)} end
redis.call('HINCRBY', META, 'images', write(all))
describe()
announce()
return {'ok'}
