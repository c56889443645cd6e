/* SPDX-License-Identifier: Apache-2.0 */

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/sysinfo.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "base/file.h"
#include "control/facts.h"

/* PRETTY_NAME of os-release(5), cut to what people call it: "Debian 12". Empty: unknown. */
static void system_name(char *ret, size_t size) {
        char text[4096], *line, *end;

        ret[0] = '\0';
        if (read_text_at(AT_FDCWD, "/etc/os-release", text, sizeof(text)) < 0 &&
            read_text_at(AT_FDCWD, "/usr/lib/os-release", text, sizeof(text)) < 0)
                return;
        line = strstr(text, "PRETTY_NAME=\"");
        if (!line || (line != text && line[-1] != '\n'))
                return;
        line += strlen("PRETTY_NAME=\"");
        end = line + strcspn(line, "\"(\n");
        while (end > line && end[-1] == ' ')
                end--;
        *end = '\0';
        if (strncmp(line, "Debian GNU/Linux", 16) == 0) {
                (void)snprintf(ret, size, "Debian%s", line + 16);
                return;
        }
        (void)snprintf(ret, size, "%s", line);
}

int facts_of_host(sd_bus_message *m, Manager *manager) {
        long cores = sysconf(_SC_NPROCESSORS_ONLN);
        struct utsname name = {};
        struct sysinfo system = {};
        char os[128];
        HostInfo host;
        int r;

        manager_host_info(manager, &host);
        (void)uname(&name);
        (void)sysinfo(&system);
        system_name(os, sizeof(os));

        r = fact_text(m, "hostname", name.nodename);
        if (r >= 0)
                r = fact_text(m, "os", os);
        if (r >= 0)
                r = fact_text(m, "kernel", name.release);
        if (r >= 0)
                r = fact_u32(m, "cores", cores > 0 ? (uint32_t)cores : 0);
        if (r >= 0)
                r = fact_u64(m, "memory", (uint64_t)system.totalram * system.mem_unit);
        if (r >= 0)
                r = fact_text(m, "version", host.version);
        if (r >= 0)
                r = fact_text(m, "instance", host.instance);
        if (r >= 0)
                r = fact_time(m, "started", host.started_usec);
        if (r >= 0)
                r = fact_u32(m, "apps", host.apps);
        if (r >= 0)
                r = fact_u32(m, "stacks", host.stacks);
        if (r >= 0)
                r = fact_u32(m, "dynos", host.dynos);
        if (r >= 0)
                r = fact_u32(m, "dynos_max", host.dynos_max);
        if (r >= 0)
                r = fact_u64(m, "memory_promised", host.memory_promised);
        if (r >= 0)
                r = fact_u64(m, "memory_limit", host.memory_total);
        return r;
}
