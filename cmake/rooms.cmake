# SPDX-License-Identifier: Apache-2.0

# dynod_room(NAME SOURCES ... DEPENDS ...)
#
# One static library per room; the link line is the dependency rule.
function(dynod_room name)
        cmake_parse_arguments(ARG "" "" "SOURCES;DEPENDS" ${ARGN})
        add_library(dynod-room-${name} STATIC ${ARG_SOURCES})
        target_include_directories(dynod-room-${name} PUBLIC
                ${PROJECT_SOURCE_DIR}/src ${PROJECT_SOURCE_DIR}/include ${PROJECT_BINARY_DIR}/generated)
        target_link_libraries(dynod-room-${name} PUBLIC ${ARG_DEPENDS} PRIVATE dynod-flags)
endfunction()

# dynod_program(NAME ROOM... SOURCES ... DEPENDS ... DESTINATION dir [PERMISSIONS ...])
#
# A program is a main() and the rooms that it links. All of them are left in
# build/bin, so that a build tree works as a libexec folder.
function(dynod_program name)
        cmake_parse_arguments(ARG "" "DESTINATION" "SOURCES;DEPENDS;PERMISSIONS" ${ARGN})
        set(permissions ${ARG_PERMISSIONS})
        if(permissions)
                list(PREPEND permissions PERMISSIONS)
        endif()
        add_executable(${name} ${ARG_SOURCES})
        target_link_libraries(${name} PRIVATE ${ARG_DEPENDS} dynod-flags)
        set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/bin)
        target_link_options(${name} PRIVATE -pie)
        install(TARGETS ${name} RUNTIME DESTINATION ${ARG_DESTINATION} ${permissions})
endfunction()

# dynod_unit_test(ROOM MODULE [extra libraries...]): tests/unit/ROOM/test_MODULE.c with cmocka
function(dynod_unit_test room module)
        set(exe test_${room}_${module})
        add_executable(${exe} ${PROJECT_SOURCE_DIR}/tests/unit/${room}/test_${module}.c)
        target_link_libraries(${exe} PRIVATE dynod-room-${room} ${ARGN} dynod-flags PkgConfig::CMOCKA)
        add_test(NAME unit/${room}/${module} COMMAND ${exe})
        set_tests_properties(unit/${room}/${module} PROPERTIES LABELS unit TIMEOUT 60 SKIP_RETURN_CODE 77)
endfunction()
