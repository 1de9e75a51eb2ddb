-- SPDX-License-Identifier: Apache-2.0
-- What the handler is called with, in turn.
local leads = {}
local said = {
  "Yes, our roof has about 1800 square feet, and the bill is $ 240 a month. Could you send a quote?",
  "No, I am not really interested, please do not call again.",
  "We want to install solar with a battery, tomorrow would be fine. The neighbours did it with a loan.",
  "I only wanted to ask what it costs to install such a thing on a flat roof in a place where it snows half of the year.",
}
local names, countries = { "Ann Example", "Bob Sample", "Chloe Template", "Dan Instance" }, { "US", "DE", "FR", "CA" }
local phones = { "(202) 555-0%d", "0049 30 9018 20%d", "+33 1 55 00 0%d", "202.555.0%d" }
for i = 0, 63 do
  local which = i % 4 + 1
  leads[i + 1] = {
    name = names[which], country = countries[which], phone = phones[which]:format(100 + i), zip = ("%05d"):format(90000 + 173 * i % 9000),
    email = ("lead%d@%s"):format(i, i % 8 == 0 and "example.com" or "roofs.test"), source = i % 3 == 0 and "ad:spring" or "call", said = said[(i + i / 4 - i / 4 % 1) % 4 + 1],
  }
end
return leads
