# cmake -C deploy/cmake/release.cmake -S . -B build/release
set(CMAKE_BUILD_TYPE RelWithDebInfo CACHE STRING "")
# Without NDEBUG: an assertion that fails ends one process, and the calls go on in its successor.
set(CMAKE_C_FLAGS_RELWITHDEBINFO "-O2 -g" CACHE STRING "")
set(CMAKE_CXX_FLAGS_RELWITHDEBINFO "-O2 -g" CACHE STRING "")
