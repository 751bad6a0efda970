# quorate::shared, quorate::static, and quorate::quorate, which is the shared library where there is one
# and QUORATE_STATIC is not set. Wants quorate_include_dirs and quorate_shared_library or
# quorate_static_library; used in the source tree and, installed, by quorateConfig.cmake. quorate_scope may
# be GLOBAL.
if(EXISTS "${quorate_shared_library}" AND NOT TARGET quorate::shared)
  add_library(quorate::shared SHARED IMPORTED ${quorate_scope})
  set_target_properties(quorate::shared PROPERTIES
    IMPORTED_LOCATION "${quorate_shared_library}"
    INTERFACE_INCLUDE_DIRECTORIES "${quorate_include_dirs}")
endif()
if(EXISTS "${quorate_static_library}" AND NOT TARGET quorate::static)
  add_library(quorate::static STATIC IMPORTED ${quorate_scope})
  # What the Rust standard library needs, as `rustc --print native-static-libs` names it.
  set_target_properties(quorate::static PROPERTIES
    IMPORTED_LOCATION "${quorate_static_library}"
    INTERFACE_INCLUDE_DIRECTORIES "${quorate_include_dirs}"
    INTERFACE_LINK_LIBRARIES "gcc_s;util;rt;pthread;m;dl;c")
endif()
if(NOT TARGET quorate::quorate)
  if(TARGET quorate::shared AND NOT QUORATE_STATIC)
    set(quorate_kind quorate::shared)
  elseif(TARGET quorate::static)
    set(quorate_kind quorate::static)
  endif()
  if(quorate_kind)
    add_library(quorate::quorate INTERFACE IMPORTED ${quorate_scope})
    set_target_properties(quorate::quorate PROPERTIES INTERFACE_LINK_LIBRARIES "${quorate_kind}")
    unset(quorate_kind)
  endif()
endif()
