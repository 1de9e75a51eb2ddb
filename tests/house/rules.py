# SPDX-License-Identifier: Apache-2.0
"""The rules of the house. Each is a function of the tree's root that yields one line for each breach.

What a floor of core/ may include is read from the table in core/README.md, so the map and the check cannot part.
"""
import re
import subprocess
from pathlib import Path

TOP_LEVEL = {
    "CMakeLists.txt", "core", "lua", "plugins", "tenants", "schema", "tests", "deploy", "Dockerfile", "CHANGES", "README.md",
    "LICENSE", ".ci", ".clang-format", ".luacheckrc", ".gitignore", ".dockerignore",
}  # fmt: skip

# Libraries whose headers only these floors may include: what the rest knows of them goes through that floor.
LIBRARIES = {
    r"(lua|lauxlib|lualib|luajit)\.h(pp)?": {"base", "script", "cell", "bind", "host"},
    r"(mysql|mariadb)[/.].*|mysql\.h": {"io"},
    r"hiredis/.*": {"io"},
    r"curl/.*": {"io"},
    r"libwebsockets\.h|libwebsockets/.*": {"io"},
    r"nghttp2/.*": {"io"},
    r"zlib\.h": {"io"},
    r"argon2\.h": {"crypto"},
    r"openssl/.*": {"crypto", "io", "bind"},
    r"speex/.*": {"media"},
    r"seccomp\.h": {"cell"},
}
BUSINESS = {"lead", "leads", "campaign", "campaigns", "invoice", "invoices"}
SQL = re.compile(
    r"\bSELECT\b[^;]*?\bFROM\b|\b(INSERT|REPLACE)\s+(IGNORE\s+)?INTO\b|\bUPDATE\s+[`\w.%]+\s+SET\b|\bDELETE\s+FROM\b"
    r"|\b(CREATE|ALTER|DROP|TRUNCATE)\s+(TABLE|DATABASE|SCHEMA|INDEX|VIEW|USER)\b|\bON\s+DUPLICATE\s+KEY\b",
    re.S,
)
# What MySQL 8 or a later one reserves and MariaDB 10.11, on which we are tested, takes for a name.
RESERVED = re.compile(
    r"(?<![\w`.])(cube|cume_dist|database|dense_rank|empty|first_value|function|generated|get|grouping|groups|io_after_gtids|io_before_gtids"
    r"|json_table|lag|last_value|lateral|lead|library|manual|master_bind|nth_value|ntile|of|optimizer_costs|option|parallel|percent_rank|qualify"
    r"|rank|row|row_number|schema|stored|system|tablesample|virtual|window)(?![\w`])",
    re.I,
)
# SQL's own words are written in capitals, names are not. Behind these stands a table's name, or one of the words that may precede it.
TABLE_IS_NEXT = re.compile(r"\b(INTO|TABLE|FROM|JOIN|UPDATE)\s+$")
NO_TABLE = {"JSON_TABLE", "LATERAL", "OF"}
# What stands between two strings that are one text: `..`, and names whose values are part of it.
JOINED = re.compile(r"\s*\.\.\s*(?:[\w.]+\s*\.\.\s*)*")
OUTSIDE = re.compile(
    r"""require\s*\(?\s*["'](socket|ssl|ffi|luv|uv|cqueues|copas|lsqlite3|luasql|posix|lfs|nixio)([./][\w.]*)?["']"""
    r"""|\bio\.popen\b|\bos\.execute\b|\bpackage\.loadlib\b"""
)
SOURCE = {".c", ".h", ".cc", ".lua", ".py", ".sql", ".cmake", ".sh", ".js"}


def sources(root, *folders, suffixes=None):
    """Files below the folders, sorted; neither what was built nor what hides."""
    for folder in folders:
        for path in sorted((root / folder).rglob("*")):
            parts = path.relative_to(root).parts
            if not path.is_file() or any(part.startswith(".") or part in ("__pycache__", "node_modules") for part in parts):
                continue
            if suffixes is None or path.suffix in suffixes:
                yield path


def text_of(path):
    return path.read_text(encoding="utf-8", errors="replace")


def line_of(text, offset):
    return text.count("\n", 0, offset) + 1


def _blank(match):
    """Nothing but the line ends of what was there, so that lines keep their numbers."""
    return "\n" * match.group(0).count("\n")


C_TOKEN = re.compile(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', re.S)
LUA_TOKEN = re.compile(
    r"--\[(?P<a>=*)\[.*?\](?P=a)\]|--[^\n]*|\[(?P<b>=*)\[.*?\](?P=b)\]" r'|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', re.S
)


def code_of(path):
    """The file without its comments; strings stay."""
    if path.suffix == ".lua":
        return LUA_TOKEN.sub(lambda m: _blank(m) if m.group(0).startswith("--") else m.group(0), text_of(path))
    return C_TOKEN.sub(lambda m: _blank(m) if m.group(0).startswith("/") else m.group(0), text_of(path))


def floors(root):
    """{floor: floors it may include} from the table of core/README.md."""
    found, above = {}, []
    for row in re.findall(r"^\|\s*`(\w+)/`\s*\|[^|]*\|\s*([^|]*?)\s*\|\s*$", text_of(root / "core/README.md"), re.M):
        name, column = row
        words = column.split()
        if column == "nothing else":
            found[name] = set()
        elif words[:2] == ["all", "above"]:
            found[name] = set(above) - set(words[3:] if words[2:3] == ["but"] else [])
        else:
            found[name] = set(words)
        above.append(name)
    return found


def floors_include_only_what_the_map_allows(root):
    allowed = floors(root)
    folders = {path.name for path in (root / "core").iterdir() if path.is_dir()}
    for name in sorted(folders ^ set(allowed)):
        yield f"core/{name}: is " + ("not in the table of core/README.md" if name in folders else "in core/README.md and not there")
    for path in sources(root, "core", suffixes={".c", ".h", ".cc"}):
        where, floor = path.relative_to(root), path.relative_to(root).parts[1]
        code = code_of(path)
        for match in re.finditer(r'^[ \t]*#[ \t]*include[ \t]+(["<])([^">]+)[">]', code, re.M):
            line, kind, name = line_of(code, match.start()), match.group(1), match.group(2)
            if kind == "<":
                for pattern, homes in LIBRARIES.items():
                    if re.fullmatch(pattern, name) and floor not in homes:
                        yield f"{where}:{line}: <{name}> belongs to core/{' and core/'.join(sorted(homes))}"
            elif "/" not in name:
                yield f'{where}:{line}: "{name}" does not say which floor it is on'
            elif name.split("/")[0] not in allowed.get(floor, set()) | {floor}:
                yield f'{where}:{line}: {floor} may not include "{name}"'


def core_knows_no_business_word(root):
    for path in sources(root, "core", suffixes={".c", ".h", ".cc"}):
        code = code_of(path)
        for match in re.finditer(r"[A-Za-z]+", code):
            # leadId and lead_id are the word too.
            for word in re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])", match.group(0)):
                if word.lower() in BUSINESS:
                    yield f"{path.relative_to(root)}:{line_of(code, match.start())}: '{word}' is a business word"


def sql_stands_in_stores_only(root):
    for path in sources(root, "core", "lua", "plugins", "tenants", suffixes={".c", ".h", ".cc", ".lua"}):
        where = path.relative_to(root)
        if path.name == "store.lua" or where.parts[:3] == ("lua", "lib", "migrate"):
            continue
        code = code_of(path)
        strings = LUA_TOKEN if path.suffix == ".lua" else C_TOKEN
        for match in strings.finditer(code):
            # A question that the program asks of a server's life is not the data's SQL: SELECT 1, SET NAMES.
            if SQL.search(match.group(0)):
                yield f"{where}:{line_of(code, match.start())}: SQL outside a store.lua: {' '.join(match.group(0).split())[:60]}"


def lua_texts(code):
    """(offset, text) of each text that the code writes, whole where it is joined of several strings; lines stay lines."""
    texts, end = [], None
    for match in LUA_TOKEN.finditer(code):
        string = match.group(0)
        if string[0] != "[":
            string = string[1:-1]
        between = code[end : match.start()] if texts else ""
        if texts and JOINED.fullmatch(between):
            texts[-1][1] += "\n" * between.count("\n") + (" " if re.search(r"\w", between) else "") + string
        else:
            texts.append([match.start(), string])
        end = match.end()
    return texts


def sql_quotes_what_mysql_reserves(root):
    for path in sources(root, "lua", "schema", suffixes={".lua", ".sql"}):
        lua = path.suffix == ".lua"
        if lua and path.name != "store.lua":
            continue
        code = code_of(path) if lua else re.sub(r"--[^\n]*", "", text_of(path))
        for start, text in lua_texts(code) if lua else [(0, code)]:
            text = re.sub(r"'(?:[^']|'')*'", _blank, text)
            if lua and not re.search(r"[A-Z]{2}|^\W*\w+, \w", text):
                continue  # neither a statement nor columns
            for word in RESERVED.finditer(text):
                name = word.group(0)
                if name.isupper() and (name in NO_TABLE or not TABLE_IS_NEXT.search(text, 0, word.start())):
                    continue
                line = line_of(code, start) + text.count("\n", 0, word.start())
                yield f"{path.relative_to(root)}:{line}: '{name}' is reserved by MySQL: quote it"


def lua_opens_no_socket(root):
    for path in sources(root, "lua", "plugins", suffixes={".lua"}):
        code = code_of(path)
        for match in OUTSIDE.finditer(code):
            yield f"{path.relative_to(root)}:{line_of(code, match.start())}: {match.group(0)}: the outside is reached through core.*"


def top_level_is_the_houses_own(root):
    ignored = {".git", "var"}
    for path in sorted(root.iterdir()):
        name = path.name
        if name in TOP_LEVEL or name in ignored or (name.startswith("build") and path.is_dir()) or name == ".pytest_cache":
            continue
        yield f"{name}: does not belong at the top"


def every_source_names_its_licence(root):
    # Not tenants/: what stands there is as a tenant writes it.
    folders = [name for name in ("core", "lua", "plugins", "schema", "tests", "deploy") if (root / name).is_dir()]
    for path in sources(root, *folders):
        head = text_of(path)[:400]
        if path.suffix not in SOURCE and not head.startswith("#!"):
            continue
        if path.suffix == ".cmake":
            continue  # a line or two of settings
        if "escapes" in path.parts:  # attacks on the sandbox, byte for byte
            continue
        if path.stat().st_size and head.count("SPDX-License-Identifier: Apache-2.0") != 1:
            yield f"{path.relative_to(root)}: has no line SPDX-License-Identifier: Apache-2.0 at its top"


def fault_points_are_listed_and_passed(root):
    path = root / "lua/faults.txt"
    listed = re.findall(r"^([\w.]+)\s+\S", text_of(path), re.M) if path.exists() else []
    for name in sorted({name for name in listed if listed.count(name) > 1}):
        yield f"lua/faults.txt: {name} is there twice"
    used = {}
    for source in sources(root, "core", "lua", "plugins", suffixes={".c", ".lua"}):
        code = code_of(source)
        for match in re.finditer(r"""(?:FAULT_POINT|fault_pass|fault\.point)\(([^)]*)\)""", code):
            where = f"{source.relative_to(root)}:{line_of(code, match.start())}"
            for name in re.findall(r'"([^"]+)"', match.group(1)):
                used.setdefault(name, []).append(where)
    for name in sorted(set(listed) - set(used)):
        yield f"lua/faults.txt: {name} is passed nowhere"
    for name, where in sorted(used.items()):
        if name not in listed:
            yield f"{where[0]}: {name} is not in lua/faults.txt"
        if len(where) > 1:
            yield f"{where[1]}: {name} is passed in {where[0]} too: one name, one place"


def the_image_is_built_from_all_that_the_build_names(root):
    build, image = root / "CMakeLists.txt", root / "Dockerfile"
    if not (build.exists() and image.exists()):
        return
    copied = {name for line in re.findall(r"^COPY ([^-].*)$", text_of(image), re.M) for name in line.split()[:-1]}
    for match in re.finditer(r"\badd_executable\(([^)]*)\)", re.sub(r"#.*", "", text_of(build))):
        for name in re.findall(r"[\w.-]+(?:/[\w.-]+)+", match.group(1)):
            # CMake asks for the sources of every target, whichever is built.
            if not copied & {name, *(str(folder) for folder in Path(name).parents)}:
                yield f"Dockerfile: does not copy {name}, which CMakeLists.txt names"


def _run(command, root, what):
    try:
        done = subprocess.run(command, cwd=root, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    except FileNotFoundError:
        yield f"{command[0]} is missing: apt-get install {what}"
        return
    if done.returncode:
        yield from (line for line in done.stdout.splitlines()[:60] if line.strip())


def luacheck_is_clean(root):
    folders = [name for name in ("lua", "plugins", "tenants", "tests", "core") if (root / name).is_dir()]
    yield from _run(["luacheck", "--quiet", "--no-color", "--exclude-files", "tests/core/escapes/*", "--", *folders], root, "lua-check")


def c_is_formatted(root):
    files = [str(path.relative_to(root)) for path in sources(root, "core", "tests", suffixes={".c", ".h", ".cc"})]
    yield from _run(["clang-format", "--dry-run", "-Werror", "--ferror-limit=1", *files], root, "clang-format") if files else ()


def shell_scripts_are_clean(root):
    files = []
    for path in sources(root, "deploy", "tests", ".ci"):
        if path.suffix == ".sh" or re.match(r"#!.*\b(ba)?sh\b", text_of(path)[:40]):
            files.append(str(path.relative_to(root)))
    files += [str(path.relative_to(root)) for path in sorted((root / ".ci").glob("*")) if path.is_file()] if (root / ".ci").is_dir() else []
    # Left out: `a= b=` on one line, names that a file read with `.` sets, and patterns of case that overlap.
    yield from _run(["shellcheck", "-S", "warning", "-e", "SC1007,SC2154,SC2221,SC2222", *files], root, "shellcheck") if files else ()


RULES = [
    floors_include_only_what_the_map_allows,
    core_knows_no_business_word,
    sql_stands_in_stores_only,
    sql_quotes_what_mysql_reserves,
    lua_opens_no_socket,
    top_level_is_the_houses_own,
    every_source_names_its_licence,
    fault_points_are_listed_and_passed,
    the_image_is_built_from_all_that_the_build_names,
    luacheck_is_clean,
    c_is_formatted,
    shell_scripts_are_clean,
]
