-- SPDX-License-Identifier: Apache-2.0
--- Sound as WAV files and in pieces: 16 bit little-endian, mono. No I/O.
local wav = {}

local function u32(n) return string.char(n % 256, math.floor(n / 256) % 256, math.floor(n / 65536) % 256, math.floor(n / 16777216) % 256) end
local function u16(n) return string.char(n % 256, math.floor(n / 256)) end
local function number(bytes, at, count)
  local n = 0
  for i = count - 1, 0, -1 do n = n * 256 + bytes:byte(at + i) end
  return n
end

--- Samples as a file.
function wav.file(pcm, rate)
  return "RIFF" .. u32(36 + #pcm) .. "WAVEfmt " .. u32(16) .. u16(1) .. u16(1) .. u32(rate) .. u32(rate * 2) .. u16(2) .. u16(16) .. "data" .. u32(#pcm) .. pcm
end

--- Pieces of bytes as whole samples: a piece may end within one.
function wav.samples()
  local rest = ""
  return function(bytes)
    bytes = rest .. bytes
    local whole = #bytes - #bytes % 2
    rest = bytes:sub(whole + 1)
    return whole == #bytes and bytes or bytes:sub(1, whole)
  end
end

local HEAD_MOST = 64 * 1024  -- what stands before the sound

local reader = {}
reader.__index = reader

-- Reads the head: true when the sound begins, nil when more is needed, false, text when it is none that is known here.
local function read_head(self)
  local bytes = self.head
  if #bytes < 12 then return nil end
  if bytes:sub(1, 4) ~= "RIFF" or bytes:sub(9, 12) ~= "WAVE" then return false, "the sound is no WAV file" end
  local at = 13
  while #bytes >= at + 7 do
    local name, size = bytes:sub(at, at + 3), number(bytes, at + 4, 4)
    if name == "data" then
      if not self.rate then return false, "the WAV file does not say what it holds" end
      -- A server that writes while it speaks does not know the size yet: 0 or all ones.
      self.left = size > 0 and size < 2 ^ 31 - 1 and size or math.huge
      self.head = bytes:sub(at + 8)
      return true
    end
    if name == "fmt " then
      if size < 16 then return false, "the WAV file's format cannot be read" end
      if #bytes < at + 23 then return nil end
      local kind, channels, bits = number(bytes, at + 8, 2), number(bytes, at + 10, 2), number(bytes, at + 22, 2)
      self.rate = number(bytes, at + 12, 4)
      if (kind ~= 1 and kind ~= 65534) or channels ~= 1 or bits ~= 16 or self.rate < 4000 or self.rate > 192000 then
        return false, ("the WAV file has %d channels of %d bits in format %d, and 16 bit mono is wanted"):format(channels, bits, kind)
      end
    end
    at = at + 8 + size + size % 2
    if at > HEAD_MOST then return false, "the WAV file's head has no end" end
  end
  return nil
end

--- Reads a WAV file that comes in pieces.
function wav.reader() return setmetatable({ head = "", samples = wav.samples() }, reader) end

--- The samples in a piece (maybe none), and their rate; nil, text when it is no sound that is known here.
function reader:feed(bytes)
  if not self.left then
    self.head = self.head .. bytes
    local begun, wrong = read_head(self)
    if begun == false then return nil, wrong end
    if not begun then return #self.head > HEAD_MOST and nil or "", #self.head > HEAD_MOST and "the WAV file's head has no end" or nil end
    bytes, self.head = self.head, nil
  end
  if #bytes > self.left then bytes = bytes:sub(1, self.left) end
  self.left = self.left - #bytes
  return self.samples(bytes), self.rate
end

--- Has all come that the head promised? True too where it promised nothing.
function reader:whole() return self.left ~= nil and (self.left == 0 or self.left == math.huge) end

return wav
