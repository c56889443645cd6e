/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What `doctor` says of other firewalls and programs on this host. */

#include "ipc/launch_proto.h"
#include "supervisor/manager_internal.h"

#define DOCTOR_LINE_SIZE 640 /* bytes: two commands with the longest names */

#define DOCTOR_LINES_MAX (BLOCKERS_MAX + SHADOWED_MAX + 1)

/* The lines of the checks that follow; they must live as long as the DoctorInfo. */
typedef struct DoctorNetwork {
        char detail[DOCTOR_LINES_MAX][DOCTOR_LINE_SIZE];
        char fix[DOCTOR_LINES_MAX][DOCTOR_LINE_SIZE];
        size_t n;
} DoctorNetwork;

/*
 * One check of each chain that may stop dynos, one of each port that is taken twice, and one of
 * the first app of whose dynos some get no connection of its published ports.
 */
void doctor_check_network(
        const Manager *manager,
        const LaunchInspected *hosted,
        DoctorInfo *info,
        DoctorNetwork *lines);
