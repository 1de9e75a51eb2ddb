# A file as a C array: cmake -DIN=x.lua -DOUT=x.c -DNAME=x -P embed.cmake
file(READ ${IN} bytes HEX)
string(REGEX REPLACE "([0-9a-f][0-9a-f])" "0x\\1," bytes "${bytes}")
file(WRITE ${OUT} "#include \"cell/embedded.h\"\nconst char embedded_${NAME}[] = {${bytes}0};\nconst size_t embedded_${NAME}_len = sizeof embedded_${NAME} - 1;\n")
