/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Facts on the bus: the a{sv} values of include/dynod/bus.h, out of the manager's structs.
 *
 * Each function appends to an open a{sv} (or opens and closes one of its own, where it
 * says so). Return: 0 or a negative errno. Text that is not UTF-8, which D-Bus refuses,
 * is made so.
 */

#include <stdbool.h>
#include <stdint.h>
#include <systemd/sd-bus.h>

#include "supervisor/manager.h"

/* One fact each. Empty texts, and times and lists that are 0 or NULL, are left out. */
int fact_text(sd_bus_message *m, const char *key, const char *value);
int fact_u32(sd_bus_message *m, const char *key, uint32_t value);
int fact_u64(sd_bus_message *m, const char *key, uint64_t value);
int fact_bool(sd_bus_message *m, const char *key, bool value);
int fact_double(sd_bus_message *m, const char *key, double value);
int fact_time(sd_bus_message *m, const char *key, uint64_t usec);
int fact_ports(sd_bus_message *m, const char *key, const uint16_t *ports, size_t n);
int fact_list(sd_bus_message *m, const char *key, const char *const *values);

/* A fact whose value is an aa{sv} or a{sv}: what comes between is its content. */
int fact_open(sd_bus_message *m, const char *key, const char *type);
int fact_close(sd_bus_message *m);

/* An a{sv} within an aa{sv}, or a whole answer. */
int facts_open(sd_bus_message *m);
int facts_close(sd_bus_message *m);

/* The facts of one thing, without the a{sv} around them. */
int facts_of_app(sd_bus_message *m, const AppInfo *info);
int facts_of_stack(sd_bus_message *m, const StackInfo *info);
int facts_of_release(sd_bus_message *m, const ReleaseInfo *info);
int facts_of_formation(sd_bus_message *m, const FormationInfo *info);
int facts_of_dyno(sd_bus_message *m, const DynoInfo *info);
int facts_of_size(sd_bus_message *m, const DynoSize *size);
/* @key: "layer" or "check", what it is called under. */
int facts_of_layer(sd_bus_message *m, const char *key, const LayerInfo *info);
int facts_of_network(sd_bus_message *m, const NetworkInfo *info);
int facts_of_result(sd_bus_message *m, const JobResult *result);
int facts_of_progress(sd_bus_message *m, const JobProgress *progress);
/* The machine: host name, system, kernel, cores, memory; and dynod. */
int facts_of_host(sd_bus_message *m, Manager *manager);
