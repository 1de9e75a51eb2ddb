-- Where calls go for which the tenant itself has nothing: no bundle yet, or no number that fits. Gives the name of a flow of the
-- tenant's bundle, or of this one; nil leaves the call to the fallback of the installation's configuration. To let the default flow
-- answer: return { flow = "flows/reception.lua" }.
return function(call) -- luacheck: no unused args
  return nil
end
