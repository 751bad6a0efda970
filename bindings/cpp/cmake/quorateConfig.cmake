# find_package(quorate CONFIG REQUIRED)
# target_link_libraries(my_program PRIVATE quorate::quorate)     or ::shared, ::static
#
# Needs nothing of CMake's own to be installed, and finds its files relative to itself, so that the
# prefix may be moved.
get_filename_component(quorate_prefix "${CMAKE_CURRENT_LIST_DIR}/@TO_PREFIX@" ABSOLUTE)
get_filename_component(quorate_libdir "${CMAKE_CURRENT_LIST_DIR}/../.." ABSOLUTE)
set(quorate_include_dirs "${quorate_prefix}/include")
set(quorate_shared_library "${quorate_libdir}/libquorate.so")
set(quorate_static_library "${quorate_libdir}/libquorate.a")
include("${CMAKE_CURRENT_LIST_DIR}/quorateTargets.cmake")
if(NOT TARGET quorate::quorate)
  set(quorate_FOUND FALSE)
  set(quorate_NOT_FOUND_MESSAGE "no libquorate.so or libquorate.a in ${quorate_libdir}")
endif()
