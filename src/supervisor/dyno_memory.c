/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Memory and CPU time of the dynos, from their cgroups. Where a controller is missing
 * (allow_missing) its files are, and the numbers stay 0.
 */

#include <string.h>

#include "base/file.h"
#include "supervisor/dyno.h"

static uint64_t read_number(const Manager *manager, const char *id, const char *file) {
        char path[DYNO_ID_SIZE + 32], text[64];
        uint64_t value = 0;

        (void)snprintf(path, sizeof(path), "%s/%s", id, file);
        if (read_text_at(manager->cgroup_fd, path, text, sizeof(text)) < 0)
                return 0;
        text[strcspn(text, "\n")] = '\0';

        return parse_u64(text, &value) < 0 ? 0 : value;
}

/* "usage_usec N" is a line of cpu.stat. */
static uint64_t read_cpu_usec(const Manager *manager, const char *id) {
        char path[DYNO_ID_SIZE + 32], text[1024];
        char *line, *save = NULL;
        uint64_t value = 0;

        (void)snprintf(path, sizeof(path), "%s/cpu.stat", id);
        if (read_text_at(manager->cgroup_fd, path, text, sizeof(text)) < 0)
                return 0;

        for (line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save))
                if (strncmp(line, "usage_usec ", 11) == 0 && parse_u64(line + 11, &value) == 0)
                        return value;

        return 0;
}

void dyno_read_usage(Dyno *dyno) {
        const Manager *manager = dyno->manager;

        if (dyno->place != DYNO_PLACE_RUNNING || manager->cgroup_fd < 0)
                return;

        dyno->memory = read_number(manager, dyno->id, "memory.current");
        dyno->swap = read_number(manager, dyno->id, "memory.swap.current");
        dyno->cpu_usec = read_cpu_usec(manager, dyno->id);
}

/* What came before the first mark is not known, and less than this says nothing. */
#define CPU_WINDOW_USEC (500 * USEC_PER_MSEC)

double dyno_cpu_percent(const Dyno *dyno) {
        const CpuMark *mark = &dyno->cpu_marks[dyno->cpu_marks[0].at_usec != 0 ? 0 : 1];
        uint64_t now = manager_now(dyno->manager);

        if (dyno->place != DYNO_PLACE_RUNNING || mark->at_usec == 0 ||
            now < mark->at_usec + CPU_WINDOW_USEC || dyno->cpu_usec < mark->cpu_usec)
                return -1;

        return 100.0 * (double)(dyno->cpu_usec - mark->cpu_usec) / (double)(now - mark->at_usec);
}

void dyno_mark_cpu(Dyno *dyno) {
        dyno->cpu_marks[0] = dyno->cpu_marks[1];
        dyno->cpu_marks[1] = (CpuMark){dyno->cpu_usec, manager_now(dyno->manager)};
}

void dyno_sample_all(Manager *manager) {
        for (Dyno *dyno = manager->dynos; dyno; dyno = dyno->next) {
                uint64_t used;

                if (dyno->place != DYNO_PLACE_RUNNING)
                        continue;
                dyno_read_usage(dyno);
                dyno_mark_cpu(dyno);
                used = dyno->memory + dyno->swap;
                if (used <= dyno->size.memory_quota)
                        continue;

                dyno_log(
                        dyno,
                        "Process running mem=%.0fM(%.1f%%)",
                        (double)used / (1024.0 * 1024.0),
                        100.0 * (double)used / (double)dyno->size.memory_quota);
                dyno_log(dyno, "Error R14 (Memory quota exceeded)");
        }
}
