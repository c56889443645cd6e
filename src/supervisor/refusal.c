/* SPDX-License-Identifier: Apache-2.0 */

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "supervisor/manager_internal.h"

int refuse(ManagerError *err, const char *name, const char *fmt, ...) {
        va_list ap;

        err->name = name;
        err->hint[0] = '\0';
        va_start(ap, fmt);
        (void)vsnprintf(err->message, sizeof(err->message), fmt, ap);
        va_end(ap);

        /* Names and lines that clients sent may stand in it: it must stay one line. */
        for (char *p = err->message; *p; p++)
                if ((unsigned char)*p < ' ' || *p == 0x7f)
                        *p = '?';

        return MANAGER_E_REFUSED;
}

int refuse_hint(ManagerError *err, const char *fmt, ...) {
        va_list ap;

        va_start(ap, fmt);
        (void)vsnprintf(err->hint, sizeof(err->hint), fmt, ap);
        va_end(ap);

        return MANAGER_E_REFUSED;
}

int refuse_errno(ManagerError *err, int r, const char *what) {
        if (r == -ENOSPC || r == -EDQUOT)
                return refuse(
                        err,
                        DYNOD_ERROR_NO_ROOM,
                        "No room on the disk of the store: %s. Nothing was changed.",
                        what);

        return refuse(
                err,
                DYNOD_ERROR_FAILED,
                "The system refused: %s: %s. Nothing was changed.",
                what,
                strerrordesc_np(-r));
}
