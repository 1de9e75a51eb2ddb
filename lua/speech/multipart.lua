-- SPDX-License-Identifier: Apache-2.0
--- A form with a file, as speech servers take it (RFC 7578). No I/O.
local multipart = {}

--- @param fields table  list of { name, value }, in their order
--- @param file table    { name = of the field, filename, type, bytes }
--- @return string, string  the body and its content type
function multipart.form(fields, file)
  local boundary = "parley-7d1f0c52b8"
  while file.bytes:find(boundary, 1, true) do boundary = boundary .. "x" end
  local out = {}
  for _, field in ipairs(fields) do
    -- A value is not ours: it must not be able to end its part.
    local value = tostring(field[2]):gsub("[\r\n]+", " ")
    value = value:gsub(boundary, "")
    out[#out + 1] = ("--%s\r\nContent-Disposition: form-data; name=\"%s\"\r\n\r\n%s\r\n"):format(boundary, field[1], value)
  end
  out[#out + 1] = ("--%s\r\nContent-Disposition: form-data; name=\"%s\"; filename=\"%s\"\r\nContent-Type: %s\r\n\r\n"):format(boundary, file.name, file.filename, file.type)
  out[#out + 1] = file.bytes
  out[#out + 1] = ("\r\n--%s--\r\n"):format(boundary)
  return table.concat(out), "multipart/form-data; boundary=" .. boundary
end

return multipart
