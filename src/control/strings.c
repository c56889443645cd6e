/* SPDX-License-Identifier: Apache-2.0 */

#include <errno.h>

#include "control/strings.h"

#define STRINGS_MAX 16384 /* per list: more than fit into the largest message that is useful */

static int add(Strings *strings, const char *text) {
        const char **items;

        if (strings->n >= STRINGS_MAX)
                return -E2BIG;
        /* one more for the NULL; grown in powers of two */
        if ((strings->n & (strings->n - 1)) == 0) {
                size_t room = strings->n > 0 ? 2 * strings->n : 1;

                items = reallocarray(strings->items, room + 1, sizeof(*items));
                if (!items)
                        return -ENOMEM;
                strings->items = items;
        }
        strings->items[strings->n++] = text;
        strings->items[strings->n] = NULL;
        return 0;
}

int strings_read(Strings *ret, sd_bus_message *m) {
        const char *text;
        int r = sd_bus_message_enter_container(m, SD_BUS_TYPE_ARRAY, "s");

        if (r < 0)
                return r;
        while ((r = sd_bus_message_read_basic(m, SD_BUS_TYPE_STRING, &text)) > 0) {
                r = add(ret, text);
                if (r < 0)
                        return r;
        }
        if (r < 0)
                return r;
        r = sd_bus_message_exit_container(m);
        return r < 0 ? r : 0;
}

int strings_read_pairs(Strings *ret, sd_bus_message *m) {
        const char *name, *value;
        int r = sd_bus_message_enter_container(m, SD_BUS_TYPE_ARRAY, "{ss}");

        if (r < 0)
                return r;
        while ((r = sd_bus_message_read(m, "{ss}", &name, &value)) > 0) {
                r = add(ret, name);
                if (r == 0)
                        r = add(ret, value);
                if (r < 0)
                        return r;
        }
        if (r < 0)
                return r;
        r = sd_bus_message_exit_container(m);
        return r < 0 ? r : 0;
}
