# AddressSanitizer and UndefinedBehaviorSanitizer: cmake -C deploy/cmake/sanitize.cmake -S . -B build/sanitize
set(CMAKE_BUILD_TYPE Debug CACHE STRING "")
set(PARLEY_SANITIZE ON CACHE BOOL "")
