# SPDX-FileCopyrightText: 2026 The Folio Authors
# SPDX-License-Identifier: Apache-2.0
#
# Install rules: headers, the CMake package (find_package(folio)), the pkg-config file. All of it can be moved after
# installation, and none of it depends on the processor.

include(GNUInstallDirs)
include(CMakePackageConfigHelpers)
set(package_dir ${CMAKE_INSTALL_DATADIR}/cmake/folio)

install(DIRECTORY include/folio DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} COMPONENT folio
  FILES_MATCHING PATTERN "*.hpp" PATTERN "*.inl" PATTERN "*.cuh")
install(DIRECTORY include/folio_simt DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} COMPONENT folio)  # sources, too
install(FILES LICENSE DESTINATION ${CMAKE_INSTALL_DATADIR}/licenses/folio COMPONENT folio)

install(TARGETS folio EXPORT folioTargets INCLUDES DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
install(EXPORT folioTargets NAMESPACE folio:: DESTINATION ${package_dir} COMPONENT folio)
configure_package_config_file(cmake/folioConfig.cmake.in folioConfig.cmake INSTALL_DESTINATION ${package_dir}
  PATH_VARS CMAKE_INSTALL_INCLUDEDIR NO_SET_AND_CHECK_MACRO)
# Before 1.0 a new minor version may change the API, so 0.1 does not answer for 0.2.
write_basic_package_version_file(folioConfigVersion.cmake COMPATIBILITY SameMinorVersion ARCH_INDEPENDENT)
install(FILES ${PROJECT_BINARY_DIR}/folioConfig.cmake ${PROJECT_BINARY_DIR}/folioConfigVersion.cmake
  cmake/FolioNuma.cmake cmake/FolioSimt.cmake DESTINATION ${package_dir} COMPONENT folio)

configure_file(cmake/folio.pc.in folio.pc @ONLY)
install(FILES ${PROJECT_BINARY_DIR}/folio.pc DESTINATION ${CMAKE_INSTALL_DATADIR}/pkgconfig COMPONENT folio)
