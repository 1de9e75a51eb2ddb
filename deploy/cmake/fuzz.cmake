# libFuzzer targets of tests/fuzz (needs clang): cmake -C deploy/cmake/fuzz.cmake -S . -B build/fuzz
set(CMAKE_BUILD_TYPE Debug CACHE STRING "")
set(CMAKE_C_COMPILER clang CACHE STRING "")
set(CMAKE_CXX_COMPILER clang++ CACHE STRING "")
set(PARLEY_FUZZ ON CACHE BOOL "")
