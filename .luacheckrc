std = "luajit"
max_line_length = 200
codes = true
cache = false
ignore = { "212/self", "213" }
files["tests/lua"] = { std = "+busted" }
files["tests/e2e"] = { std = "+busted" }
files["core/cell"] = { std = "lua51" }
files["tenants"] = { read_globals = { "require" } }
files["tenants/*/spec"] = { std = "+busted", read_globals = { "simulate", "hook" } }
