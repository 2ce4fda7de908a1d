# SPDX-License-Identifier: MIT
# find_package(taio): the target taio::taio.
include(CMakeFindDependencyMacro)
set(THREADS_PREFER_PTHREAD_FLAG ON)
find_dependency(Threads)
include(${CMAKE_CURRENT_LIST_DIR}/taioTargets.cmake)
