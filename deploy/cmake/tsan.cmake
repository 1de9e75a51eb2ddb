# ThreadSanitizer, for the media thread and its rings: cmake -C deploy/cmake/tsan.cmake -S . -B build/tsan
set(CMAKE_BUILD_TYPE Debug CACHE STRING "")
set(CMAKE_C_FLAGS "-fsanitize=thread -O1" CACHE STRING "")
set(CMAKE_CXX_FLAGS "-fsanitize=thread -O1" CACHE STRING "")
