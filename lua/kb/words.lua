-- SPDX-License-Identifier: Apache-2.0
--- Text as the terms it is found by: small letters without accents, endings of English and German plurals and verbs cut off, words
--- that say nothing left out. Scripts without spaces (Chinese, Japanese, Korean) give each two neighbouring characters as a term.
--- Takes any bytes and time in proportion to them.
local words = {}

local MOST_BYTES = 64  -- of a term; nobody asks for longer ones

-- What stands for what: a base letter, and the letters that are folded to it.
local letters = {
  a = "àáâãäåāăąÀÁÂÃÄÅĀĂĄ", c = "çćĉċčÇĆĈĊČ", d = "ďđðĎĐÐ", e = "èéêëēĕėęěÈÉÊËĒĔĖĘĚ", g = "ĝğġģĜĞĠĢ", h = "ĥħĤĦ",
  i = "ìíîïĩīĭįıÌÍÎÏĨĪĬĮİ", j = "ĵĴ", k = "ķĶ", l = "ĺļľŀłĹĻĽĿŁ", n = "ñńņňÑŃŅŇ", o = "òóôõöøōŏőÒÓÔÕÖØŌŎŐ", r = "ŕŗřŔŖŘ",
  s = "śŝşšșŚŜŞŠȘ", t = "ţťŧțŢŤŦȚ", u = "ùúûüũūŭůűųÙÚÛÜŨŪŬŮŰŲ", w = "ŵŴ", y = "ýÿŷÝŸŶ", z = "źżžŹŻŽ", ss = "ß", ae = "æÆ", oe = "œŒ",
  ["α"] = "άΆΑ", ["ε"] = "έΈΕ", ["η"] = "ήΉΗ", ["ι"] = "ίϊΐΊΙΪ", ["ο"] = "όΌΟ", ["υ"] = "ύϋΰΎΥΫ", ["ω"] = "ώΏΩ", ["σ"] = "ςΣ",
  ["е"] = "ёЁЕ", ["и"] = "йЙИ",
}

local CHARACTER = "[%z\1-\127\194-\244][\128-\191]*"

local folded = {}
-- Capitals of Greek and Cyrillic that only need a shift.
for lead, first, last, to_lead, shift in ("206:145:159:206:32 206:160:169:207:-32 208:144:159:208:32 208:160:175:209:-32"):gmatch("(%d+):(%d+):(%d+):(%d+):(%-?%d+)") do
  for tail = tonumber(first), tonumber(last) do folded[string.char(lead, tail)] = string.char(to_lead, tail + shift) end
end
for base, list in pairs(letters) do
  for character in list:gmatch(CHARACTER) do folded[character] = base end
end
-- Marks and signs of two bytes: U+0080 to U+00BF but the letters among them; combining accents go without a trace.
for tail = 128, 191 do
  if tail ~= 170 and tail ~= 181 and tail ~= 186 then folded[string.char(194, tail)] = " " end
  folded[string.char(204, tail)] = ""
  if tail < 176 then folded[string.char(205, tail)] = "" end
end
folded[string.char(194, 173)] = ""  -- the soft hyphen

--- Small letters without accents; marks of other scripts than ASCII as spaces.
function words.fold(text)
  text = text:lower():gsub("[\194-\223][\128-\191]", folded)
  if text:find("[\226\227\239]") then
    text = text:gsub("\226\128[\139-\143\170-\174]", ""):gsub("\226\129[\160-\175]", ""):gsub("\239\187\191", "")  -- no width, or only a direction
      :gsub("\226[\128-\175][\128-\191]", " ")   -- punctuation, arrows, signs, currencies
      :gsub("\227\128[\128-\191]", " "):gsub("\239\188[\128-\143\154-\159]", " ")
  end
  return text
end

local nothing = {}
for word in ([[
  a an and any are as at be been but by can could did do does for from get had has have how i if in into is it its just me my no not of on or our please
  much many should so tell than that the their them then there these they this to us was we were what when where which who why will with would you your yours
  aber alle als am an auch auf aus bei bin bis bitte das dass dem den der des die diese dieser doch du ein eine einem einen einer es fur haben hat hatte
  ich ihr ihre im in ist ja kann konnen man mein meine viel viele mich mir mit nach nicht noch nur oder sein sich sie sind so uber um und uns von vor war was wann warum
  wenn wer wie wir wird wo zu zum zur
  al como con cual cuando de del donde el ella en era es esta este hay la las lo los mas me mi muy no o para pero por que se si sin son su sus un una y yo
  au aux avec ce ces cette comment dans des du elle est et il ils je le les leur ma mais mes mon ne nos notre nous ont ou par pas pour quand qui quoi sa ses
  son sont sur ta te tu vos votre vous
  da dei della di e gli ha ho il mio nel non per piu quale sono um uma ao das do dos eu foi meu na nas nos os seu sua voce
]]):gmatch("%S+") do nothing[word] = true end

-- The ends of words that say how many or when, not what. Both sides are cut alike, so it need not be a word that is left.
local function stem(word)
  local n = #word
  if n < 4 or word:find("[^a-z]") then return word end
  local two, three = word:sub(-2), word:sub(-3)
  if three == "ies" and n > 4 then return word:sub(1, -4) .. "y" end
  if three == "ing" and n >= 7 then word = word:sub(1, -4)
  elseif two == "ed" and n >= 6 then word = word:sub(1, -3)
  elseif two == "en" and n >= 6 then word = word:sub(1, -3)
  elseif word:sub(-1) == "s" and two ~= "ss" and two ~= "us" and two ~= "is" then word = word:sub(1, -2) end
  if #word > 3 and word:sub(-1) == "e" then word = word:sub(1, -2) end
  return word
end

-- Chinese characters, kana and Hangul: leads 227 (from U+3040) to 237.
local function pairs_of(word, add)
  local last, plain = nil, {}
  local function flush()
    if #plain > 0 then add(table.concat(plain)) end
    plain = {}
  end
  for character in word:gmatch(CHARACTER) do
    local lead = character:byte()
    if lead >= 227 and lead <= 237 then
      if last then add(last .. character) elseif #plain > 0 then flush() end
      last = character
    else
      if last then last = nil end
      plain[#plain + 1] = character
    end
  end
  flush()
end

--- The terms of a text in their order, repeated as they come.
--- @param most number|nil  at most so many
function words.terms(text, most)
  local list, n = {}, 0
  most = most or math.huge
  local function add(word)
    if n >= most or nothing[word] then return end
    n = n + 1
    list[n] = stem(#word > MOST_BYTES and word:sub(1, MOST_BYTES) or word)
  end
  for word in words.fold(text):gmatch("[%w\128-\255]+") do
    if n >= most then break end
    if word:find("[\227-\237]") then pairs_of(word, add) else add(word) end
  end
  return list
end

return words
