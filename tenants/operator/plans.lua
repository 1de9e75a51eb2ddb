-- The plans that tenants can be on: the price of a month, what is in it, and what a minute beyond it costs.
return {
  currency = "USD",
  plans = {
    { id = "start", name = "Start", month = 49, included_minutes = 500, minute = 0.09, calls = 5 },
    { id = "team", name = "Team", month = 299, included_minutes = 5000, minute = 0.06, calls = 40 },
    { id = "scale", name = "Scale", month = 1900, included_minutes = 50000, minute = 0.04, calls = 400 },
  },
}
