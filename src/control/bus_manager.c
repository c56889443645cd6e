/* SPDX-License-Identifier: Apache-2.0 */

#include "control/bus_manager.h"
#include "control/methods.h"
#include "dynod/bus.h"

/* Who may open the socket may call everything: its mode and group are the authorisation. */
#define CALL(name, in, out, method) SD_BUS_METHOD(name, in, out, method, SD_BUS_VTABLE_UNPRIVILEGED)

/* clang-format off */
static const sd_bus_vtable manager_vtable[] = {
        SD_BUS_VTABLE_START(0),
        CALL("Version",      NULL,              "a{sv}",   method_version),
        CALL("HostInfo",     NULL,              "a{sv}",   method_host_info),
        CALL("Doctor",       NULL,              "a{sv}",   method_doctor),
        CALL("ListSizes",    NULL,              "aa{sv}",  method_list_sizes),

        CALL("ListStacks",   NULL,              "aa{sv}",  method_list_stacks),
        CALL("ImportStack",  "shts",            "u",       method_import_stack),
        CALL("RemoveStack",  "s",               "a{sv}",   method_remove_stack),

        CALL("ListApps",     NULL,              "aa{sv}",  method_list_apps),
        CALL("CreateApp",    "ss",              "a{sv}",   method_create_app),
        CALL("AppInfo",      "s",               "a{sv}",   method_app_info),
        CALL("RenameApp",    "ss",              "a{sv}",   method_rename_app),
        CALL("DestroyApp",   "s",               "u",       method_destroy_app),
        CALL("SetStack",     "ss",              "a{sv}",   method_set_stack),

        CALL("Deploy",       "shtsa{ss}s",      "u",       method_deploy),
        CALL("ListReleases", "s",               "aa{sv}",  method_list_releases),
        CALL("ReleaseInfo",  "su",              "a{sv}",   method_release_info),
        CALL("Rollback",     "su",              "u",       method_rollback),

        CALL("GetConfig",    "s",               "a{ss}",   method_get_config),
        CALL("ChangeConfig", "sa{ss}as",        "u",       method_change_config),

        CALL("Formation",    "s",               "aa{sv}",  method_formation),
        CALL("Scale",        "sa(sbis)",        "u",       method_scale),
        CALL("ListDynos",    "s",               "aa{sv}",  method_list_dynos),
        CALL("RestartDynos", "ss",              "u",       method_restart_dynos),
        CALL("StopDynos",    "ss",              "u",       method_stop_dynos),
        CALL("WaitDynos",    "st",              "u",       method_wait_dynos),
        CALL("Inspect",      "ss",              "a{sv}",   method_inspect),

        CALL("Network",      "s",               "a{sv}",   method_network),
        CALL("ChangeNetwork", "ssas",           "a{sv}",   method_change_network),

        CALL("Run",          "sasa{ss}sbbbqqh", "a{sv}",   method_run),
        CALL("Exec",         "ssasa{ss}bqqh",   "a{sv}",   method_exec),
        CALL("Logs",         "sb",              "h",       method_logs),

        SD_BUS_SIGNAL("JobProgress", "ua{sv}",     0),
        SD_BUS_SIGNAL("JobDone",     "usssa{sv}",  0),
        SD_BUS_VTABLE_END,
};
/* clang-format on */

int bus_manager_attach(sd_bus *bus, Connection *connection) {
        return sd_bus_add_object_vtable(
                bus, NULL, DYNOD_BUS_PATH, DYNOD_BUS_INTERFACE, manager_vtable, connection);
}
