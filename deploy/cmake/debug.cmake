# cmake -C deploy/cmake/debug.cmake -S . -B build/debug
set(CMAKE_BUILD_TYPE Debug CACHE STRING "")
