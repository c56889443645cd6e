/* SPDX-License-Identifier: Apache-2.0 */

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "sandbox/apparmor.h"

#define APPARMOR_ENABLED "/sys/module/apparmor/parameters/enabled"
#define APPARMOR_PROFILES "/sys/kernel/security/apparmor/profiles"
#define APPARMOR_MODE " (enforce)"

bool apparmor_is_enabled(void) {
        char text[8];

        return read_text_at(AT_FDCWD, APPARMOR_ENABLED, text, sizeof(text)) > 0 && text[0] == 'Y';
}

bool apparmor_label_is(const char *label, const char *profile) {
        size_t len = strlen(profile);

        return strncmp(label, profile, len) == 0 && strcmp(label + len, APPARMOR_MODE) == 0;
}

bool apparmor_has_profile(const char *profile) {
        _cleanup_fclose_ FILE *f = NULL;
        char line[512];

        f = fopen(APPARMOR_PROFILES, "re");
        if (!f)
                return false;
        while (fgets(line, sizeof(line), f)) {
                line[strcspn(line, "\n")] = '\0';
                if (apparmor_label_is(line, profile))
                        return true;
        }

        return false;
}

int apparmor_read_label(int proc_pid_fd, char ret[APPARMOR_LABEL_MAX]) {
        ssize_t n;

        n = read_text_at(proc_pid_fd, "attr/apparmor/current", ret, APPARMOR_LABEL_MAX);
        if (n < 0)
                return (int)n;
        ret[strcspn(ret, "\n")] = '\0';

        return 0;
}

int apparmor_change_profile(int proc_fd, const char *profile) {
        char text[APPARMOR_LABEL_MAX];
        _cleanup_close_ int self_fd = -EBADF;
        int r;

        r = snprintf(text, sizeof(text), "changeprofile %s", profile);
        if (r < 0 || (size_t)r >= sizeof(text))
                return -EINVAL;

        self_fd = openat(proc_fd, "thread-self", O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (self_fd < 0)
                return -errno;
        r = write_text_at(self_fd, "attr/apparmor/current", text);
        if (r < 0)
                return r;

        r = apparmor_read_label(self_fd, text);
        if (r < 0)
                return r;
        return apparmor_label_is(text, profile) ? 0 : -EPROTO;
}
